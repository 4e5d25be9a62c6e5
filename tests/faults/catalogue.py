"""Every fault that the tests must notice."""

from __future__ import annotations

from tests.faults.asking import ASKING
from tests.faults.attachments import ATTACHMENTS
from tests.faults.elements import ELEMENTS
from tests.faults.enforcement import ENFORCEMENT
from tests.faults.fault import Fault
from tests.faults.graph import GRAPH
from tests.faults.graph_tiers import GRAPH_TIERS
from tests.faults.identity import IDENTITY
from tests.faults.in_place import IN_PLACE
from tests.faults.inside import INSIDE
from tests.faults.interfaces import INTERFACES
from tests.faults.link import LINK_FAULTS
from tests.faults.lint import LINT
from tests.faults.meaning import MEANING
from tests.faults.naming import NAMING
from tests.faults.own_pods import OWN_PODS
from tests.faults.proof import PROOF
from tests.faults.render import RENDER
from tests.faults.ruleset import RULESET
from tests.faults.starting import STARTING
from tests.faults.tenants import TENANTS
from tests.faults.tiers import TIER_FAULTS
from tests.faults.timing import TIMING
from tests.faults.watching import WATCHER
from tests.faults.wire import WIRE

FAULTS: tuple[Fault, ...] = (
    *MEANING,
    *IDENTITY,
    *RULESET,
    *PROOF,
    *WIRE,
    *INTERFACES,
    *INSIDE,
    *LINK_FAULTS,
    *NAMING,
    *TENANTS,
    *TIER_FAULTS,
    *ATTACHMENTS,
    *IN_PLACE,
    *GRAPH,
    *GRAPH_TIERS,
    *ENFORCEMENT,
    *TIMING,
    *STARTING,
    *OWN_PODS,
    *ELEMENTS,
    *WATCHER,
    *LINT,
    *RENDER,
    *ASKING,
)
