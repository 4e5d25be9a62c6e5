"""Every fault that the tests must notice."""

from __future__ import annotations

from tests.faults.enforcement import ENFORCEMENT
from tests.faults.fault import Fault
from tests.faults.meaning import MEANING
from tests.faults.naming import NAMING
from tests.faults.ruleset import RULESET

FAULTS: tuple[Fault, ...] = (*MEANING, *RULESET, *NAMING, *ENFORCEMENT)
