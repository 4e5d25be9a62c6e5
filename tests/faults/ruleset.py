"""Faults in the ruleset: address classes, chains, hooks, passes (compiler/policyd_compiler)."""

from __future__ import annotations

from tests.faults.fault import Fault

COMPILER = "compiler/policyd_compiler"
CHAINS = f"{COMPILER}/lower/chains.py"
CLASSES = f"{COMPILER}/lower/classes.py"
DECIDE = f"{COMPILER}/lower/decide.py"
DISPATCH = f"{COMPILER}/lower/dispatch.py"
GUARD = f"{COMPILER}/lower/guard.py"
LINK = f"{COMPILER}/lower/link.py"
OBJECTS = f"{COMPILER}/lower/objects.py"
SHARED = f"{COMPILER}/lower/sharing.py"

CASE = "tests/property/test_meaning.py::test_case"
GUARDS = "tests/kernel/test_guards.py"
STRAYS = "tests/property/test_strays.py"
PASSES = "tests/property/test_passes.py"
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
        "the sweep asks every rule at every bound",
        "DESIGN: classes",
        CLASSES,
        "            ports = watch.decide()\n",
        "            ports = decider.decide(sorted(matching.union(always)))\n",
        "tests/reliability/test_tenants.py::"
        "test_work_is_linear_in_what_comes_in_and_what_goes_out[nested-400]",
    ),
    Fault(
        "what a difference takes away stays open",
        "DESIGN: classes",
        f"{COMPILER}/lower/port_chains.py",
        "ports(base & ~mask), ports(mask & ~base)",
        "ports(0), ports(mask & ~base)",
        "tests/property/test_port_chains.py::test_a_difference_lets_the_same_ports_through",
    ),
    Fault(
        "a difference is taken from a difference",
        "DESIGN: bounded look-ups",
        f"{COMPILER}/lower/port_chains.py",
        "            found[spread(mask)] = base\n            spent += apart\n",
        "            found[spread(mask)] = base\n            base, spent = mask, spent + apart\n",
        "tests/property/test_port_chains.py::test_a_difference_is_from_a_set_that_is_written_out_and_shorter",
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
        "ports are joined across rules of other actions",
        "DESIGN: passes",
        f"{COMPILER}/passes/merge_ports.py",
        "groupby(stage.rules, key=lambda rule: rule.action):",
        "[(stage.rules[0].action, stage.rules)] if stage.rules else []:",
        f"{PASSES}::test_pass_keeps_meaning[merge_ports]",
    ),
    Fault(
        "the last address of a block does not count for pods",
        "NP-097",
        f"{COMPILER}/lower/classes.py",
        "bisect_right(self._sorted, high)",
        "bisect_left(self._sorted, high)",
        f"{CASE}[NP-097-named-and-in-a-block]",
    ),
    Fault(
        "reports of multicast listeners are judged",
        "NP-083",
        LINK,
        "((130, 132), (143, 143))",
        "((143, 143),)",
        f"{UNIT}/test_opening.py::test_listeners_of_a_closed_pod_are_known[131]",
    ),
    Fault(
        "pods isolated for egress alone are under no policy",
        "NP-124",
        f"{COMPILER}/lower/roots.py",
        "if e.ingress or e.egress))",
        "if e.ingress))",
        f"{UNIT}/test_opening.py::test_a_packet_from_the_middle_of_no_connection_is_dropped[to-isolated1]",
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
        "if opened != ports:",
        "if opened & ~ports:",
        f"{UNIT}/test_shared_sets.py::test_no_group_changes_what_a_pod_may_do",
    ),
    Fault(
        "shared sets are asked before a chain's own",
        "L10",
        CHAINS,
        """            *_own_rules(own, layout, view),
            # In this order, as they may overlap.
            *(_group_rule(group, view) for group in layout.groups),
""",
        """            *(_group_rule(group, view) for group in layout.groups),
            *_own_rules(own, layout, view),
""",
        f"{UNIT}/test_shared_sets.py::test_no_group_changes_what_a_pod_may_do",
    ),
)

HOOKS = (
    Fault(
        "IPv6 packets are led to no endpoint",
        "NP-106",
        DISPATCH,
        "    judge = tuple(\n        rule\n        for family in FAMILIES\n",
        "    judge = tuple(\n        rule\n        for family in FAMILIES[:1]\n",
        f"{CASE}[NP-106]",
    ),
    Fault(
        "replies are judged like first packets",
        "NP-120",
        DISPATCH,
        "(*guard.forged, ESTABLISHED, *forward)",
        "(*guard.forged, *forward)",
        f"{TRAFFIC}::test_replies_need_no_rule[routed]",
    ),
    Fault(
        "neighbour discovery is judged",
        "NP-083",
        LINK,
        "        Rule(Accept(), (NEIGHBOURS, _NEVER_FORWARDED)),\n",
        "",
        f"{CASE}[NP-083]",
    ),
    Fault(
        "ICMP errors of an accepted connection are judged",
        "NP-086",
        DISPATCH,
        "SPOOFED, ERRORS, *invalid",
        "SPOOFED, *invalid",
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
        "if classes.default == 0 and not classes.ranges:",
        "if classes.default == 0:",
        f"{GUARDS}::test_a_pod_cannot_send_as_its_node[routed]",
    ),
    Fault(
        "a pod that reaches itself through its Service is judged",
        "NP-096",
        DISPATCH,
        "receives, *through_service, *judge",
        "receives, *judge",
        f"{CASE}[NP-096]",
    ),
    Fault(
        "a node is judged when it reaches its own pods",
        "NP-090",
        DISPATCH,
        "(*opening.strays, _OWN_NODE) if strict",
        "opening.strays if strict",
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
        "        (not_new((*link, *guard.sends, SPOOFED, ERRORS, *invalid)), *middle),\n",
        "        (not_new((*link, *guard.sends, SPOOFED, ERRORS, *invalid)),),\n",
        f"{TRAFFIC}::test_strays_pass_exactly_if_policies_allow_them_both_ways[routed-ack]",
    ),
    Fault(
        "strays that policies allow both ways drop",
        "NP-165",
        DISPATCH,
        "(*link, *guard.sends, SPOOFED, ERRORS, *invalid)",
        "(*link, *guard.sends, SPOOFED, ERRORS, replace(SPOOFED, matches=INVALID))",
        f"{STRAYS}::test_policies_that_allow_everything_change_no_packets_fate",
    ),
    Fault(
        "a stray is asked for the port that it goes to, not for the one that it answers from",
        "NP-165",
        CHAINS,
        '"daddr" if ingress else "saddr", "sport", lines',
        '"daddr" if ingress else "saddr", "dport", lines',
        f"{UNIT}/test_opening.py::test_a_stray_answers_from_the_port_that_was_asked_for",
    ),
    Fault(
        "what the node sends to a pod answers nothing",
        "NP-165",
        DISPATCH,
        "(*opening.strays, _OWN_NODE) if strict else",
        "(_OWN_NODE,) if strict else",
        f"{STRAYS}::test_a_stray_passes_exactly_if_it_is_allowed_as_it_goes_and_exchanged",
    ),
    Fault(
        "unknown pods are open though pod interfaces are named",
        "NP-107",
        GUARD,
        "        return bool(self.options.pod_interfaces)\n",
        "        return bool(self.attached and self.options.pod_interfaces)\n",
        f"{GUARDS}::test_an_unknown_pod_neither_sends_nor_receives[routed]",
    ),
    Fault(
        "names of interfaces that overlap go to the kernel, which refuses the whole ruleset",
        "NP-107",
        GUARD,
        "names = covering((*options.pod_interfaces, *own, *snapshot.network.bridges))",
        "names = tuple(sorted({*options.pod_interfaces, *own, *snapshot.network.bridges}))",
        "tests/cli/test_kernel.py::test_settings_that_pass_are_taken_by_the_kernel[--pod-interfaces-lxc*,lxc_health]",
    ),
    Fault(
        "link-local addresses are exempt from the guard",
        "NP-151",
        GUARD,
        "    if scene.bridged:  # groups",
        "    yield Rule(Return(), (Match(Field.IP6_SADDR, Prefix(*LINK_LOCAL6)),))\n"
        "    if scene.bridged:  # groups",
        f"{UNIT}/test_guard.py::test_what_unknown_interfaces_send[vethx]",
    ),
)

EXPRESSIONS = (
    Fault(
        "a packet without a field is unequal to everything",
        "DESIGN: nft's meaning",
        f"{COMPILER}/nft/matches.py",
        "    if value is None:\n        return False\n",
        "    if value is None:\n        return match.negated\n",
        f"{UNIT}/test_expressions.py::test_a_packet_without_the_field_matches_neither",
    ),
    Fault(
        "ARP behind a tag is taken for ARP",
        "NP-160",
        f"{COMPILER}/nft/expressions.py",
        "read(packet.arp) if packet.arp is not None and packet.vlan is None else None",
        "read(packet.arp) if packet.arp is not None else None",
        f"{UNIT}/test_expressions.py::test_what_a_packet_has_of_a_field",
    ),
    Fault(
        "a match is printed that nft lists otherwise",
        "DESIGN: drift",
        f"{COMPILER}/nft/matches.py",
        "            if _is_implied(match, later) or _is_behind(match, later):\n",
        "            if _is_behind(match, later):\n",
        f"{UNIT}/test_expressions.py::test_what_nft_lists_otherwise_is_not_printed",
    ),
    Fault(
        "a match after a statement is read as one before it",
        "DESIGN: drift",
        f"{COMPILER}/nft/json_rules.py",
        "    *before, last = expressions\n",
        '    *before, last = sorted(expressions, key=lambda one: "match" not in one)\n',
        f"{UNIT}/test_expressions.py::test_a_match_behind_a_statement_is_not_ours",
    ),
    Fault(
        "a table of the other family is taken for ours",
        "NP-160",
        f"{COMPILER}/nft/json_parser.py",
        'if value.get("family") != self._family or table != self._name:',
        "if table != self._name:",
        f"{UNIT}/test_no_listing.py::test_a_table_of_another_family_is_another",
    ),
)

RULESET = (*TIERS, *CLASS_FAULTS, *SHARING, *HOOKS, *EXPRESSIONS)
