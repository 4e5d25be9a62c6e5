"""Faults by which one tenant's policies would reach another's, or lose a rule."""

from __future__ import annotations

from tests.faults.fault import Fault

NAMED = (
    Fault(
        "of rules that use one port name only the first counts",
        "NP-051",
        "policyd/cluster/peers.py",
        "    if len(many) == 1:\n        return many[0]",
        "    if many:\n        return many[0]",
        "tests/unit/cluster/test_named_ports.py::"
        "test_rules_that_use_a_name_are_joined_before_their_peers_are_divided_by_number",
    ),
)

SHARED = (
    Fault(
        "one tenant's selectors shape another's chains",
        "DESIGN: shared sets",
        "policyd/cluster/peers.py",
        "*(self._groups.get(id(policy), ()) for policy in policies)",
        "*self._groups.values()",
        "tests/reliability/test_tenants.py::"
        "test_a_neighbour_has_the_rules_that_he_would_have_without_the_tenants_policies",
    ),
)

TENANTS = (*NAMED, *SHARED)
