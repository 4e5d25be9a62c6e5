"""Faults in who sends and who hears, whatever policies say: the guard, the table in family bridge."""

from __future__ import annotations

from tests.faults.fault import Fault

LOWER = "compiler/policyd_compiler/lower"
BRIDGE, GUARD, LINK = f"{LOWER}/bridge.py", f"{LOWER}/guard.py", f"{LOWER}/link.py"

ATTACKS = "tests/attacks/test_attacks.py"
SOURCES = f"{ATTACKS}::test_a_packet_has_the_source_of_its_sender"
ON_THE_LINK = f"{ATTACKS}::test_on_the_link_are_only_ip_arp_and_ones_own_addresses[bridged]"
GROUPS = f"{ATTACKS}::test_multicast_and_broadcast_are_judged_for_each_receiver[bridged]"
UNDERLAY = f"{ATTACKS}::test_the_nodes_tunnels_and_loopback_are_closed_to_pods[routed]"

WIRE = (
    Fault(
        "a packet of a known connection has any source",
        "NP-162",
        f"{LOWER}/dispatch.py",
        "(*guard.forged, ESTABLISHED, *forward)",
        "(ESTABLISHED, *guard.forged, *forward)",
        f"{SOURCES}[routed]",
    ),
    Fault(
        "a pod may send as whoever is no pod of its node",
        "NP-162",
        GUARD,
        '        (*_of_others(scene, "from-links", {}), *elsewhere),\n',
        "        elsewhere,\n",
        f"{SOURCES}[routed]",
    ),
    Fault(
        "from beyond its interface a pod's address is its own",
        "NP-162",
        GUARD,
        '        (*_of_others(scene, "from-links", {}), *elsewhere),\n',
        '        tuple(_of_others(scene, "from-links", {})),\n',
        f"{SOURCES}[routed]",
    ),
    Fault(
        "a frame is what is behind its tags",
        "NP-160",
        BRIDGE,
        "    return Match(Field.ETHER_TYPE, numbers(number))\n",
        "    return Match(Field.META_PROTOCOL, numbers(number))\n",
        ON_THE_LINK,
    ),
    Fault(
        "frames that no policy could judge pass",
        "NP-160",
        BRIDGE,
        '        yield Rule(Drop(), comment="neither IPv4, IPv6 nor ARP: no policy could judge it")\n',
        "",
        ON_THE_LINK,
    ),
    Fault(
        "a bridge learns a pod's place from another's frame",
        "NP-162",
        BRIDGE,
        "        yield from self._macs(Field.IIFNAME_ETHER_SADDR, Field.ETHER_SADDR)\n",
        "",
        ON_THE_LINK,
    ),
    Fault(
        "whoever asks by ARP has any address",
        "NP-162",
        BRIDGE,
        "(*self._arp(), _ARP_PROBE, Rule(Drop()))",
        "(*self._arp(), _ARP_PROBE)",
        ON_THE_LINK,
    ),
    Fault(
        "a pod advertises any address, and is a router",
        "NP-164",
        BRIDGE,
        "        yield Rule(Jump(self._claims()), (_ICMPV6,))\n",
        "",
        ON_THE_LINK,
    ),
    Fault(
        "isolated pods hear every group",
        "NP-161",
        BRIDGE,
        "hearing_map(self.ports.bound, family, self.judged, self.objects)) is not None:\n",
        "hearing_map(self.ports.bound, family, self.judged, self.objects)) is not None and family != 4:\n",
        GROUPS,
    ),
    Fault(
        "a pod isolated for egress speaks to groups from its link-local address",
        "NP-128",
        BRIDGE,
        "        if name is not None:\n            yield Rule(Vmap(Field.IIFNAME, name), matches)\n",
        "        if name is not None and family == 4:\n"
        "            yield Rule(Vmap(Field.IIFNAME, name), matches)\n",
        GROUPS,
    ),
    Fault(
        "tunnels of other nodes are open to pods",
        "NP-163",
        GUARD,
        "    yield from _tunnels_of_others(scene)\n",
        "",
        UNDERLAY,
    ),
    Fault(
        "the node's loopback is open to pods",
        "NP-163",
        GUARD,
        "Match(Field.IP_DADDR, Prefix(*LOOPBACK4))",
        "Match(Field.IP_SADDR, Prefix(*LOOPBACK4))",
        UNDERLAY,
    ),
    Fault(
        "neighbour discovery passes from beyond the link",
        "NP-164",
        LINK,
        "        Rule(Accept(), (NEIGHBOURS, _NEVER_FORWARDED)),\n",
        "        Rule(Accept(), (NEIGHBOURS,)),\n",
        f"{ATTACKS}::test_policies_are_not_misled_by_what_is_in_a_packet[routed]",
    ),
)
