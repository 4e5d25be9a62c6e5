"""Faults in who sends and who hears, by the interfaces and ports of pods (NP-160 to NP-162)."""

from __future__ import annotations

from tests.faults.fault import Fault

COMPILER = "compiler/policyd_compiler"
BRIDGE = f"{COMPILER}/lower/bridge.py"
GUARD = f"{COMPILER}/lower/guard.py"
HEARERS = f"{COMPILER}/lower/hearers.py"
DISPATCH = f"{COMPILER}/lower/dispatch.py"

ON_BRIDGE = "tests/unit/compiler/test_bridge.py"
HEARD = "tests/unit/compiler/test_hearers.py"
GUARDS = "tests/unit/compiler/test_guard.py"
TYPES = f"{ON_BRIDGE}::test_what_is_neither_ipv4_ipv6_nor_arp_does_not_leave_a_pod"
SENDS = f"{ON_BRIDGE}::test_a_bound_port_sends_only_what_its_pod_may"
UNBOUND = f"{ON_BRIDGE}::test_a_port_that_is_not_known_sends_what_is_nobody_elses"
SAYS = f"{HEARD}::test_what_an_isolated_pod_says_from_an_address_that_is_no_pods"

FRAMES = (
    Fault(
        "what is behind a tag is judged as if there were none",
        "NP-160",
        BRIDGE,
        "return Match(Field.ETHER_TYPE, numbers(number))",
        "return Match(Field.META_PROTOCOL, numbers(number))",
        f"{TYPES}[a tag with VID 0-closed]",
    ),
    Fault(
        "frames that no policy could judge leave a pod",
        "NP-160",
        BRIDGE,
        'yield Rule(Drop(), comment="neither',
        'yield Rule(Accept(), comment="neither',
        f"{TYPES}[PPPoE-closed]",
    ),
    Fault(
        "frames that no policy could judge reach an isolated pod",
        "NP-160",
        BRIDGE,
        "yield Rule(Drop(), (Match(Field.OIFNAME, of_isolated),)",
        "yield Rule(Accept(), (Match(Field.OIFNAME, of_isolated),)",
        f"{ON_BRIDGE}::test_what_is_neither_ipv4_ipv6_nor_arp_reaches_no_isolated_pod",
    ),
)

ADDRESSES = (
    Fault(
        "ARP is asked for nothing but its type",
        "NP-162",
        BRIDGE,
        "yield Rule(Accept(), (Match(Field.IIFNAME_ARP_SADDR_IP, InSet(self.bound[4])),))",
        "yield Rule(Accept())",
        f"{SENDS}[ARP for a sibling-closed]",
    ),
    Fault(
        "ARP names whatever hardware address it likes",
        "NP-162",
        BRIDGE,
        "        yield from self._macs(Field.IIFNAME_ARP_SADDR_ETHER, Field.ARP_SADDR_ETHER)\n",
        "",
        f"{SENDS}[an ARP probe with a sibling's hardware address-closed]",
    ),
    Fault(
        "a bridge learns a pod's hardware address at any port",
        "NP-162",
        BRIDGE,
        "        yield from self._macs(Field.IIFNAME_ETHER_SADDR, Field.ETHER_SADDR)\n",
        "",
        f"{ON_BRIDGE}::test_a_bridge_does_not_learn_a_pods_hardware_address_at_another_port",
    ),
    Fault(
        "advertisements of other addresses pass if their source is true",
        "NP-162",
        BRIDGE,
        "_ADVERTS = Match(Field.ICMPV6_TYPE, numbers(136))",
        "_ADVERTS = Match(Field.ICMPV6_TYPE, numbers(135))",
        f"{SENDS}[a sibling's address advertised-closed]",
    ),
    Fault(
        "a pod's port carries the addresses of pods whose ports are not known",
        "NP-162",
        BRIDGE,
        "(*self._not_attached(), Match(field, InSet(loose))))",
        "(Match(field, InSet(loose)),))",
        f"{SENDS}[a pod's that has no known port-closed]",
    ),
    Fault(
        "unknown ports carry what is nobody's though unknown pods are closed",
        "NP-107",
        BRIDGE,
        "        if self.options.pod_interfaces:\n",
        "        if self.ports.bound and not self.ports.names:\n",
        f"{UNBOUND}[nobody's]",
    ),
    Fault(
        "without an address a pod sends to whom it likes",
        "NP-162",
        BRIDGE,
        "        Match(Field.IP_DADDR, Prefix(0xFFFF_FFFF, 32)),\n",
        "",
        f"{SENDS}[0.0.0.0 to one address-closed]",
    ),
    Fault(
        "an uplink of a bridge is taken for a pod's port",
        "NP-162",
        BRIDGE,
        "            yield Rule(Accept(), (Match(Field.IIFNAME, InSet(name)),))\n        of_pods",
        "            yield Rule(Accept(), (Match(Field.OIFNAME, InSet(name)),))\n        of_pods",
        f"{ON_BRIDGE}::test_what_leads_to_no_pod_is_not_judged[frame0]",
    ),
    Fault(
        "a bound port that no list names is not judged",
        "NP-162",
        BRIDGE,
        "*snapshot.network.pod_ports, *ports.names))",
        "*snapshot.network.pod_ports))",
        f"{ON_BRIDGE}::test_a_bound_port_is_judged_though_it_is_not_listed[open]",
    ),
    Fault(
        "to its node a pod speaks with another's address in a known connection",
        "NP-162",
        DISPATCH,
        "(*guard.forged_to_node, ESTABLISHED, *opening.input",
        "(ESTABLISHED, *guard.forged_to_node, *opening.input",
        f"{GUARDS}::test_a_pods_address_comes_from_its_interface[6-input-established-open]",
    ),
    Fault(
        "where unknown pods are not closed a pod speaks to its node without an address",
        "NP-162",
        GUARD,
        "    if not names or (scene.closed and not scene.loose):\n",
        "    if not names or not scene.loose or not scene.closed:\n",
        f"{GUARDS}::test_what_a_pod_sends_to_its_node[from no address-routed]",
    ),
    Fault(
        "on a bridge packets come to the hooks of IP by their ports",
        "NP-162",
        GUARD,
        "    return attachment.bridge or attachment.interface\n",
        "    return attachment.interface\n",
        f"{GUARDS}::test_on_a_bridge_it_comes_from_the_bridge_and_family_bridge_knows_by_which_port[open]",
    ),
    Fault(
        "a pod reaches what listens on its node's loopback",
        "NP-145",
        GUARD,
        "(Match(Field.IP_DADDR, Prefix(*LOOPBACK4)),)",
        "(Match(Field.IP_SADDR, Prefix(*LOOPBACK4)),)",
        f"{GUARDS}::test_what_a_pod_sends_to_its_node[to the node's loopback-routed]",
    ),
)

GROUPS = (
    Fault(
        "a pod hears groups of those families only in which it has an address",
        "NP-161",
        HEARERS,
        "    elements: dict[str, Verdict] = {\n        port: Goto(",
        "    bound = [(e, a) for e, a in bound if e.host.address(family) is not None]\n"
        "    elements: dict[str, Verdict] = {\n        port: Goto(",
        f"{HEARD}::test_a_pod_of_one_family_hears_groups_of_the_other_as_its_rules_say",
    ),
    Fault(
        "who is not known is nobody whom a rule denies",
        "NP-161",
        HEARERS,
        "        return decider.masks.ports(classes.default) if accepts else NOTHING\n",
        "        return decider.masks.ports(classes.default) if accepts else decider.masks.ports(-1)\n",
        f"{HEARD}::test_an_unknown_sender_may_be_whom_a_rule_denies",
    ),
    Fault(
        "what is flooded reaches isolated pods",
        "NP-161",
        BRIDGE,
        "            yield Rule(Vmap(Field.OIFNAME, name))\n",
        "            to_group = (Match(Field.IP6_DADDR, Prefix(*MULTICAST6)),) if family == 6 else ()\n"
        "            yield Rule(Vmap(Field.OIFNAME, name), to_group)\n",
        f"{HEARD}::test_what_reaches_an_isolated_port_is_judged_as_the_senders[what is flooded of IPv6]",
    ),
    Fault(
        "what a pod sends to groups is judged at another hook than who hears it",
        "NP-108",
        BRIDGE,
        "        if speaking is not None:\n",
        "        if speaking is not None and family == 5:\n",
        f"{HEARD}::test_what_an_isolated_pod_sends_to_groups_is_judged_where_its_receivers_are",
    ),
    Fault(
        "behind unknown ports an isolated pod hears everything",
        "NP-161",
        BRIDGE,
        "            yield self._to_unknown(family)\n",
        "            self._to_unknown(family)\n",
        f"{HEARD}::test_behind_an_unknown_port_an_isolated_pod_hears_what_goes_to_its_address_only",
    ),
    Fault(
        "policies that allow everything close the ports that are not known",
        "NP-165",
        BRIDGE,
        "if any(restricts(endpoint.ingress) for endpoint in self.ports.hidden):",
        "if any(endpoint.ingress for endpoint in self.ports.hidden):",
        f"{HEARD}::test_policies_that_allow_everything_ask_nothing_of_deliveries",
    ),
    Fault(
        "an isolated pod speaks to groups from its link-local address",
        "NP-161",
        BRIDGE,
        "        yield from self._said(family, _TO_ALL[family], (_UNBOUND[family],))\n",
        "",
        f"{SAYS}[a group-closed-vetho]",
    ),
    Fault(
        "an isolated pod speaks to other pods from its link-local address",
        "NP-162",
        BRIDGE,
        "            yield from self._said(6, _ANYWHERE, _OFF_LINK)\n",
        "            yield from ()\n",
        f"{SAYS}[a pod's address-open-vetho]",
    ),
    Fault(
        "a pod without a known port speaks from addresses that are no pods'",
        "NP-161",
        BRIDGE,
        "            for endpoint in self.ports.hidden\n            if endpoint.egress",
        "            for endpoint in ()\n            if endpoint.egress",
        f"{HEARD}::test_who_has_no_port_and_is_isolated_says_nothing_from_an_address_that_is_no_pods",
    ),
    Fault(
        "a pod that shares one of its addresses is isolated as for the last of them",
        "NP-166",
        HEARERS,
        "            found.setdefault(attachment.interface, {})[id(isolation)] = isolation\n",
        "            found[attachment.interface] = {id(isolation): isolation}\n",
        f"{HEARD}::test_a_port_whose_pod_shares_one_address_is_judged_by_all_that_isolates_it",
    ),
    Fault(
        "a claimant of an address is where another one is",
        "NP-166",
        BRIDGE,
        "if len(e.attachments) < max(1, len(e.claimants))),",
        "if not e.attachments),",
        f"{HEARD}::test_a_claimant_without_a_port_may_be_behind_any",
    ),
    Fault(
        "a block that holds some of the link's addresses holds all",
        "NP-161",
        HEARERS,
        "            if first > low:\n                masks.append(classes.default)\n",
        "",
        f"{HEARD}::test_a_block_counts_for_a_group_only_where_it_holds_all_of_them",
    ),
    Fault(
        "where receivers cannot be distinguished isolated pods hear groups",
        "NP-161",
        GUARD,
        "    if not scene.bridged and any(",
        "    if scene.bridged and any(",
        f"{GUARDS}::test_who_hears_what_on_a_routed_network[a group]",
    ),
    Fault(
        "policies that allow everything silence groups on routed networks",
        "NP-165",
        GUARD,
        "any(restricts(endpoint.ingress) for",
        "any(endpoint.ingress for",
        f"{GUARDS}::test_who_hears_what_on_a_routed_network[a group of IPv6]",
    ),
    Fault(
        "on a bridge no pod hears the subnet's broadcasts",
        "NP-161",
        GUARD,
        "(broadcast,) if scene.bridged and family == 4",
        "(broadcast,) if scene.bridged and family == 6",
        f"{GUARDS}::test_on_a_bridge_groups_and_broadcasts_are_left_to_family_bridge",
    ),
)

INTERFACES = (*FRAMES, *ADDRESSES, *GROUPS)
