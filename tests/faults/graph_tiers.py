"""Faults in what follows changes where there are ClusterNetworkPolicies."""

from __future__ import annotations

from tests.faults.fault import Fault

UNITS = "tests/unit/graph/test_tiers.py"

GRAPH_TIERS = (
    Fault(
        "an address that several claim is an element of tiers like any other",
        "NP-166",
        "policyd/graph/hosts.py",
        "            turned.dirty |= self._with_tiers\n",
        "            pass\n",
        f"{UNITS}::test_an_address_that_several_claim",
    ),
    Fault(
        "a Deny for whom a Pass may mean is about whom it means",
        "NP-166",
        "policyd/graph/written.py",
        '        if said.written.action == "Pass" and rule.action is Action.DENY:\n',
        "        if False:\n",
        f"{UNITS}::test_a_pass_that_means_nobody_any_more_is_in_no_note",
    ),
    Fault(
        "a node with other addresses is a peer with those that it had",
        "CNP-025",
        "policyd/graph/judging.py",
        " or (self._has_other_nodes and unit.asks_nodes)",
        "",
        f"{UNITS}::test_nodes_are_peers_with_all_their_addresses",
    ),
    Fault(
        "a namespace with other labels stays under the ClusterNetworkPolicies that it had",
        "DESIGN: a ruleset that follows",
        "policyd/graph/graph.py",
        "        spaces |= self._tiers.rename(renamed) & judging.spaces()\n",
        "",
        f"{UNITS}::test_a_namespace_with_other_labels_has_other_policies",
    ),
    Fault(
        "all namespaces are those that are known",
        "CNP-020",
        "policyd/graph/written.py",
        "        if who.namespaces is None or not who.namespaces.requirements:\n",
        "        if who.namespaces is None:\n",
        f"{UNITS}::test_all_namespaces_are_also_those_of_which_nothing_is_known",
    ),
    Fault(
        "a port that a tier names is one of TCP",
        "CNP-032",
        "policyd/graph/units.py",
        "for protocol in PROTOCOLS.values())",
        'for protocol in PROTOCOLS.values() if protocol == "TCP")',
        f"{UNITS}::test_a_port_of_any_protocol_may_have_the_name",
    ),
    Fault(
        "what a tier denies costs its tenant nothing",
        "DESIGN: a ruleset that follows",
        "compiler/policyd_compiler/budget.py",
        "    of_tenants = _of_tenants(isolation)\n    part = ",
        "    of_tenants = isolation\n    part = ",
        f"{UNITS}::test_what_tenants_may_cost_is_known_behind_tiers",
    ),
    Fault(
        "behind tiers policies cost what they did when they were compiled",
        "DESIGN: a ruleset that follows",
        "policyd/graph/ceilings.py",
        "unit.cost + unit.come * unit.growth * unit.has_tiers",
        "unit.cost",
        f"{UNITS}::test_what_tenants_may_cost_is_known_behind_tiers",
    ),
    Fault(
        "on a bridge a pod sends to whomever as before somebody came whom a tier denies",
        "NP-161",
        "policyd/graph/graph.py",
        "        turned.dirty |= judging.narrowed(turned.touched)\n",
        "",
        f"{UNITS}::test_on_a_bridge_a_pod_is_asked_what_it_sends_to_whomever",
    ),
    Fault(
        "an edited ClusterNetworkPolicy keeps the chains that it had",
        "DESIGN: a ruleset that follows",
        "policyd/graph/places.py",
        "                    tuple(id(tiers[n]) for n in part.tiers),\n",
        "                    part.tiers,\n",
        f"{UNITS}::test_a_policy_of_a_tier_comes_changes_and_goes",
    ),
)
