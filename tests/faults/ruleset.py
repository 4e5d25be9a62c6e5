"""Faults in the ruleset: address classes, chains, hooks, names, passes, plans (compiler/policyd_compiler)."""

from __future__ import annotations

from tests.faults.fault import Fault

COMPILER = "compiler/policyd_compiler"
CHAINS = f"{COMPILER}/lower/chains.py"
CLASSES = f"{COMPILER}/lower/classes.py"
DECIDE = f"{COMPILER}/lower/decide.py"
DISPATCH = f"{COMPILER}/lower/dispatch.py"
NAMES = f"{COMPILER}/names.py"
OBJECTS = f"{COMPILER}/lower/objects.py"
PLAN = f"{COMPILER}/plan.py"
SHARED = f"{COMPILER}/lower/sharing.py"

APPLYING = "tests/applier/test_apply.py"
CASE = "tests/property/test_meaning.py::test_case"
GUARDS = "tests/kernel/test_guards.py"
PASSES = "tests/property/test_passes.py"
PLANS = "tests/property/test_plan.py"
TRAFFIC = "tests/kernel/test_traffic.py"
UNIT = "tests/unit/compiler"

TIERS = (
    Fault(
        "the baseline is asked before NetworkPolicy",
        "L11",
        f"{COMPILER}/ir.py",
        '    NETWORK_POLICY = "networkpolicy"\n    BASELINE = "baseline"\n',
        '    BASELINE = "baseline"\n    NETWORK_POLICY = "networkpolicy"\n',
        f"{UNIT}/test_verify.py::test_tiers_are_asked_in_their_order",
    ),
    Fault(
        "tiers are asked in the order of their names",
        "L10",
        DECIDE,
        "        self.rules = tuple(rule for stage in isolation.stages for rule in stage.rules)\n",
        "        stages = tuple(sorted(isolation.stages, key=lambda stage: stage.tier.value))\n"
        "        isolation = Isolation(isolation.direction, isolation.policies, stages)\n"
        "        self.rules = tuple(rule for stage in isolation.stages for rule in stage.rules)\n",
        f"{PASSES}::test_classes_say_what_rules_say",
    ),
    Fault(
        "Pass accepts",
        "CNP-006",
        DECIDE,
        "return 0, 0, ports",
        "return ports, 0, 0",
        f"{PASSES}::test_classes_say_what_rules_say",
    ),
    Fault(
        "a rule that is not the first to match decides, too",
        "CNP-018",
        DECIDE,
        "left = ~(first[0] | first[1] | first[2])",
        "left = ~first[0]",
        f"{PASSES}::test_classes_say_what_rules_say",
    ),
    Fault(
        "where the sweep goes, the later rule decides",
        "CNP-018",
        DECIDE,
        "then(beside, here) if at & 1 else then(here, beside)",
        "then(here, beside) if at & 1 else then(beside, here)",
        "tests/property/test_decide.py::test_rules_that_come_and_go_leave_what_those_decide_that_are_there",
    ),
)

CLASS_FAULTS = (
    Fault(
        "what anybody may do is forgotten for whom no rule names",
        "NP-014",
        CLASSES,
        "default = decider.decide(always)",
        "default = decider.decide([])",
        f"{CASE}[NP-014]",
    ),
    Fault(
        "IPv6 ranges are forgotten",
        "NP-080",
        CLASSES,
        "for low, high in rule.peers.ranges(family):",
        "for low, high in rule.peers.v4 if family == 4 else ():",
        f"{CASE}[NP-080]",
    ),
    Fault(
        "a pod that is named and in a block has only what it is named for",
        "NP-020",
        CLASSES,
        "mask = rule.peers.hosts | index.mask(rule.peers.ranges(family))",
        "mask = rule.peers.hosts",
        f"{PASSES}::test_classes_say_what_rules_say",
    ),
    Fault(
        "a range ends one too early",
        "NP-072",
        f"{COMPILER}/addr.py",
        "left.append((start, hole_low - 1))",
        "left.append((start, hole_low - 2))",
        f"{CASE}[NP-072]",
    ),
    Fault(
        "peers are joined across rules of other actions",
        "DESIGN: passes",
        f"{COMPILER}/passes/merge_peers.py",
        "groupby(stage.rules, key=lambda rule: rule.action):",
        "groupby(sorted(stage.rules, key=lambda rule: rule.action.value), key=lambda rule: rule.action):",
        f"{PASSES}::test_pass_keeps_meaning[merge_peers]",
    ),
    Fault(
        "a rule about blocks alone is dead",
        "NP-070",
        f"{COMPILER}/passes/drop_dead_rules.py",
        "if rule.peers and rule.ports)",
        "if (rule.peers.anything or rule.peers.hosts) and rule.ports)",
        f"{PASSES}::test_pass_keeps_meaning[drop_dead_rules]",
    ),
)

SHARING = (
    Fault(
        "a shared set also holds pods of another class",
        "L10",
        SHARED,
        "if not group & elsewhere and 2 * ",
        "if 2 * ",
        f"{UNIT}/test_shared_sets.py::test_no_group_changes_what_a_pod_may_do",
    ),
    Fault(
        "shared sets are asked before a chain's own",
        "L10",
        CHAINS,
        """        *_own_rules(hosts.own, side, index, family, objects),
        *_group_rules(hosts.groups, side, index, family, objects),
""",
        """        *_group_rules(hosts.groups, side, index, family, objects),
        *_own_rules(hosts.own, side, index, family, objects),
""",
        f"{UNIT}/test_shared_sets.py::test_no_group_changes_what_a_pod_may_do",
    ),
)

HOOKS = (
    Fault(
        "IPv6 packets are led to no endpoint",
        "NP-106",
        DISPATCH,
        "        for family in FAMILIES\n        for rule in (\n",
        "        for family in FAMILIES[:1]\n        for rule in (\n",
        f"{CASE}[NP-106]",
    ),
    Fault(
        "replies are judged like first packets",
        "NP-120",
        DISPATCH,
        "forward = (_ESTABLISHED, *opening,",
        "forward = (*opening,",
        f"{TRAFFIC}::test_replies_need_no_rule[routed]",
    ),
    Fault(
        "neighbour discovery is judged",
        "NP-083",
        DISPATCH,
        "        Rule(Accept(), (LINK_ICMPV6,)),\n",
        "",
        f"{CASE}[NP-083]",
    ),
    Fault(
        "ICMP errors of an accepted connection are judged",
        "NP-086",
        DISPATCH,
        '        Rule(Accept(), (Match(Field.CT_STATE, Word("related")), _ICMP)),\n',
        "",
        f"{TRAFFIC}::test_errors_about_an_accepted_connection_pass[routed]",
    ),
    Fault(
        "what is denied is rejected",
        "decisions 5",
        OBJECTS,
        'if self._deny == "drop":\n            return Drop()',
        'if self._deny == "nothing":\n            return Drop()',
        f"{TRAFFIC}::test_replies_need_no_rule[routed]",
    ),
    Fault(
        "a pod may send as its node",
        "NP-145",
        DISPATCH,
        "*judge, SPOOFED)",
        "*judge)",
        f"{GUARDS}::test_a_pod_cannot_send_as_its_node[routed]",
    ),
    Fault(
        "a pod may send as its node to whom everybody reaches",
        "NP-145",
        CHAINS,
        "    return (SPOOFED,)",
        "    return ()",
        f"{GUARDS}::test_a_pod_cannot_send_as_its_node[routed]",
    ),
    Fault(
        "a pod may send as its node to whom a block lets in",
        "NP-145",
        CHAINS,
        "(classes.default == NOTHING and not classes.ranges)",
        "classes.default == NOTHING",
        f"{GUARDS}::test_a_pod_cannot_send_as_its_node[routed]",
    ),
    Fault(
        "a pod that reaches itself through its Service is judged",
        "NP-096",
        DISPATCH,
        "receives, *hairpin, *judge",
        "receives, *judge",
        f"{CASE}[NP-096]",
    ),
    Fault(
        "a node is judged when it reaches its own pods",
        "NP-090",
        DISPATCH,
        "(_ESTABLISHED, _OWN_NODE, *opening",
        "(_ESTABLISHED, *opening",
        f"{CASE}[NP-090]",
    ),
    Fault(
        "a pod is not judged when it reaches its own node",
        "NP-091",
        DISPATCH,
        "from_pod if options.node_egress",
        "() if options.node_egress",
        f"{CASE}[NP-091]",
    ),
    Fault(
        "a packet from the middle of no connection opens one",
        "NP-122",
        DISPATCH,
        "        opening.append(Rule(stray, (_NOT_SYN, _NEW)))\n",
        "",
        f"{TRAFFIC}::test_a_connection_whose_entry_is_deleted_does_not_come_back[routed-0]",
    ),
    Fault(
        "strays of pods without a policy drop, too",
        "NP-124",
        DISPATCH,
        "Rule(Drop(), (Match(address_field(family, side), InSet(roots.governed[family])),))",
        "Rule(Drop())",
        f"{TRAFFIC}::test_strays_drop_for_governed_pods_only[routed-ack]",
    ),
    Fault(
        "unknown pods are open though pod interfaces are named",
        "NP-107",
        DISPATCH,
        "    if roots.interfaces is None:\n",
        "    if roots.interfaces is None or not roots.governed:\n",
        f"{GUARDS}::test_an_unknown_pod_neither_sends_nor_receives[routed]",
    ),
    Fault(
        "names of interfaces that overlap go to the kernel, which refuses the whole ruleset",
        "NP-107",
        "compiler/policyd_compiler/lower/roots.py",
        "covering(options.pod_interfaces)",
        "tuple(sorted(set(options.pod_interfaces)))",
        "tests/cli/test_kernel.py::test_settings_that_pass_are_taken_by_the_kernel[--pod-interfaces-lxc*,lxc_health]",
    ),
    Fault(
        "link-local addresses are exempt from the guard",
        "NP-151",
        DISPATCH,
        "for network, length in exempt.get(family, ())\n",
        "for network, length in (*exempt.get(family, ()), *((LINK_LOCAL6,) if family == 6 else ()))\n",
        f"{GUARDS}::test_link_local_addresses_are_no_way_around_a_policy[unknown-bridged]",
    ),
)

NAME_FAULTS = (
    Fault(
        "chains of one policy have one name, whatever is in them",
        "DESIGN: content in names",
        NAMES,
        "for part in (prefix, self._digest(content), hint) if part",
        "for part in (prefix, hint or self._digest(content)) if part",
        f"{PLANS}::test_only_the_commit_touches_what_is_in_use",
    ),
    Fault(
        "a name is given to two contents",
        "NP-042",
        NAMES,
        "            if self._contents[name] == content:\n",
        "            if self._contents[name]:\n",
        "tests/property/test_collisions.py::test_a_collision_changes_no_meaning",
    ),
    Fault(
        "the hash of a name does not see all of its content",
        "DESIGN: content in names",
        NAMES,
        "blake2b(content, digest_size=20)",
        "blake2b(content[:16], digest_size=20)",
        f"{PLANS}::test_only_the_commit_touches_what_is_in_use",
    ),
    Fault(
        "a change under a name that stays is not written",
        "DESIGN: content in names",
        PLAN,
        "if old.elements is new.elements or old.elements == new.elements:\n        return []\n"
        '    return [flush("set"',
        'if len(old.elements) == len(new.elements):\n        return []\n    return [flush("set"',
        "tests/property/test_collisions.py::test_what_changes_under_one_name_is_written",
    ),
    Fault(
        "what stands behind a verdict map is nobody's fault",
        "decisions 8",
        f"{COMPILER}/lower/owners.py",
        "                found.setdefault(name, set()).add(part.name)\n",
        "                found.setdefault(part.name, set()).add(name)\n",
        f"{UNIT}/test_owners.py::test_an_object_serves_the_policies_of_every_chain_that_leads_to_it",
    ),
    Fault(
        "policies are taken in the order of a hash",
        "L15",
        "policyd/cluster/resolve.py",
        "[state.policies[key] for key in sorted(state.policies)]",
        "[state.policies[key] for key in set(state.policies)]",
        "tests/property/test_bytes.py::test_the_hash_seed_does_not_matter",
    ),
    Fault(
        "rules are noted in the order of their hashes",
        "L15",
        CHAINS,
        "origins: list[Origin] = sorted(\n",
        "origins: list[Origin] = list(\n",
        "tests/property/test_bytes.py::test_the_hash_seed_does_not_matter",
    ),
    Fault(
        "policies are taken in the order in which they came",
        "L15",
        "policyd/cluster/resolve.py",
        "[state.policies[key] for key in sorted(state.policies)]",
        "list(state.policies.values())",
        "tests/property/test_bytes.py::test_the_order_of_objects_does_not_matter",
    ),
)

SWAPS = (
    Fault(
        "a change replaces the whole table",
        "DESIGN: one swap",
        PLAN,
        "if actual is None or not _alike(actual, desired):\n        return Transaction(",
        "if actual != desired:\n        return Transaction(",
        f"{PLANS}::test_only_the_commit_touches_what_is_in_use",
    ),
    Fault(
        "a change of the dispatch maps happens in place",
        "DESIGN: one swap",
        OBJECTS,
        "        name = SetName(claimed)\n        if new:\n            self.maps[name]",
        '        name = SetName(claimed if "-" in prefix else prefix)\n'
        "        if new:\n            self.maps[name]",
        "tests/kernel/test_swap.py::test_no_packet_leaks_and_none_is_lost_while_rulesets_are_swapped[routed]",
    ),
    Fault(
        "what is in use is swept before the commit",
        "DESIGN: one swap",
        PLAN,
        '        ("commit", _commit(actual, desired)),\n        ("sweep", emptied),\n',
        '        ("sweep", emptied),\n        ("commit", _commit(actual, desired)),\n',
        f"{PLANS}::test_plans_arrive",
    ),
    Fault(
        "maps that nothing asks any more are left over",
        "DESIGN: one swap",
        PLAN,
        '        *(delete("map", part.name) for part in maps),\n',
        "",
        f"{APPLYING}::test_the_first_apply_and_every_later_one_arrive[fake]",
    ),
)

RULESET = (*TIERS, *CLASS_FAULTS, *SHARING, *HOOKS, *NAME_FAULTS, *SWAPS)
