"""Faults in ClusterNetworkPolicies: their order, their actions, and what is not understood in them."""

from __future__ import annotations

from tests.faults.fault import Fault

CASE = "tests/property/test_meaning.py::test_case"
TIERS = "policyd/cluster/tiers.py"
POLICY = "policyd/kube/decode_cluster_policy.py"
DECODING = "tests/unit/kube/test_decode_cluster_policy.py"

LAYOUT = "compiler/policyd_compiler/layout.py"
LAID_OUT = "tests/unit/cluster/test_tiers.py"

TIER_FAULTS = (
    Fault(
        "whom an administrator denies stands in a map of each chain",
        "",
        LAYOUT,
        "    groups = _groups(named, ports)\n    told =",
        "    groups = ()\n    told =",
        f"{LAID_OUT}::test_whom_a_policy_for_all_pods_denies_is_written_once",
    ),
    Fault(
        "an administrator's group of all namespaces is that of a NetworkPolicy",
        "CNP-020",
        "policyd/cluster/peers.py",
        'return Selected(f"{scope or where} {pods}"',
        'return Selected(f"{(scope or where) if scope != ANYWHERE else where} {pods}"',
        f"{LAID_OUT}::test_all_namespaces_are_others_for_an_administrator",
    ),
    Fault(
        "a chain with tiers has no map of its own, though a block may name a peer",
        "",
        LAYOUT,
        "not any(rule.ranges or rule.named for rule in rules)",
        "not any(rule.named for rule in rules)",
        "tests/unit/compiler/test_layout.py::test_but_with_a_range_beside_it_peers_may_differ",
    ),
    Fault(
        "a group of a tier has the ports of a Pass as if it accepted them",
        "",
        LAYOUT,
        'allowed = allowed | here if action == "accept" else allowed',
        'allowed = allowed | here if action != "deny" else allowed',
        "tests/unit/compiler/test_layout.py::test_a_pass_leaves_it_to_the_stage_behind",
    ),
    Fault(
        "policies of a tier are asked in the order of their names",
        "CNP-011",
        TIERS,
        '(each.tier != "Admin", each.priority, each.name)',
        '(each.tier != "Admin", each.name)',
        f"{CASE}[CNP-011]",
    ),
    Fault(
        "priorities are compared as texts",
        "CNP-018",
        TIERS,
        '(each.tier != "Admin", each.priority, each.name)',
        '(each.tier != "Admin", str(each.priority), each.name)',
        f"{CASE}[CNP-018-numbers]",
    ),
    Fault(
        "whom a ClusterNetworkPolicy selects is isolated",
        "CNP-002",
        TIERS,
        "return Stage(_TIERS[tier], tuple(rules), Action.PASS)",
        "return Stage(_TIERS[tier], tuple(rules), Action.DENY)",
        f"{CASE}[CNP-002]",
    ),
    Fault(
        "a Deny that may mean a peer does not count",
        "NP-166",
        TIERS,
        "            yield Rule(action, whom.possible, ports, (origin,))\n",
        "            yield Rule(action, whom.certain, ports, (origin,))\n",
        f"{CASE}[NP-166-tiers-peer]",
    ),
    Fault(
        "a Pass of one claimant passes the others",
        "NP-166",
        TIERS,
        "        if action is Action.PASS and self._claims.disputed:\n",
        "        if action is Action.PASS and not self._claims.hosts:\n",
        f"{CASE}[NP-166-tiers-pass]",
    ),
    Fault(
        "a named port of a tier is one of TCP",
        "CNP-032",
        "policyd/cluster/peers.py",
        "for p in self.ports if p.name == name}))",
        'for p in self.ports if p.name == name and p.protocol == "TCP"}))',
        f"{CASE}[CNP-032]",
    ),
    Fault(
        "pods without a namespaceSelector are of namespaces that are known",
        "CNP-020",
        TIERS,
        "        if peer.namespaces is None or not peer.namespaces.requirements:\n            return pods\n",
        "        if peer.namespaces is None:\n            return pods\n",
        "tests/property/test_tiers.py::test_pods_of_an_unknown_namespace_are_pods",
    ),
    Fault(
        "a peer of nodes means their first address",
        "CNP-025",
        TIERS,
        "yield from map(parse_ip, node.addresses)",
        "yield from map(parse_ip, node.addresses[:1])",
        f"{CASE}[CNP-026]",
    ),
    Fault(
        "a Deny that is not understood matches nothing",
        "CNP-040",
        POLICY,
        '    if action == "Accept":\n',
        '    if action != "Pass":\n',
        f"{CASE}[CNP-040-deny]",
    ),
    Fault(
        "a Pass that is not understood passes",
        "CNP-040",
        POLICY,
        '    return TierRule("Deny", None, None, name, source)\n\n\ndef _refuse',
        "    return TierRule(action, None, None, name, source)\n\n\ndef _refuse",
        f"{CASE}[CNP-040-pass]",
    ),
    Fault(
        "an unknown action passes",
        "CNP-045",
        POLICY,
        'return TierRule("Deny", None, None, name, source)  # never taken for a Pass (CNP-045)',
        'return TierRule("Pass", None, None, name, source)',
        f"{CASE}[CNP-045]",
    ),
    Fault(
        "a policy of an unknown tier is one of Admin",
        "CNP-047",
        POLICY,
        "    if not known or tier is None or priority is None:\n",
        "    if not known or priority is None:\n",
        f"{CASE}[CNP-047]",
    ),
    Fault(
        "an unknown key of a rule is passed over",
        "CNP-048",
        POLICY,
        "    known = reading.fields(rule, path, RULE[direction])\n",
        "    known = True\n",
        f"{DECODING}::test_a_rule_that_is_not_understood_closes_alone",
    ),
    Fault(
        "host bits are taken in new objects",
        "CNP-024",
        "policyd/kube/decode_cluster_peer.py",
        '"error" if masked else "warning"',
        '"warning"',
        f"{DECODING}::test_what_the_crd_refuses_is_refused_with_its_place",
    ),
)
