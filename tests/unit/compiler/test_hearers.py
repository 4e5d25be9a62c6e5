"""Who on a bridge hears what goes to a group, to all, or to somebody else, port by port (NP-161)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policyd_compiler.driver import compile_snapshot
from policyd_compiler.ir import ANYTHING, Action, Isolation, Network, Peers, Rule, Stage, Tier
from policyd_compiler.nft.packet import Packet, PacketType
from policyd_compiler.options import Options
from policyd_compiler.ports import EVERYTHING
from tests.bridge import (
    ALL4,
    ALL6,
    CLOSED,
    DNS,
    GAGGED,
    GUESTS,
    LINK6,
    LISTENER,
    LOOSE,
    MDNS4,
    MDNS6,
    OPEN,
    ORIGINS,
    OTHER,
    OUTSIDE4,
    OUTSIDE6,
    ROUTER6,
    SPEAKER,
    UNKNOWN,
    Bridge,
    Pod,
    arp,
    bridge,
    datagram,
    icmp6,
    snapshot_of,
)

PORTS = tuple(f"veth{pod.name}" for pod in GUESTS)
TAGGED = replace(datagram(SPEAKER.v4, OTHER.v4), vlan=0)


# --- NP-161: what goes to a group, to all, or to somebody else -----------------------------------------

#: What the speaker sends, by port 53 and by another; whether it reaches a listener with this address.
GROUPS = {
    "a group of IPv4": (SPEAKER.v4, MDNS4),
    "a group of IPv6": (SPEAKER.v6, MDNS6),
    "all": (SPEAKER.v4, ALL4),
    "all of the subnet": (SPEAKER.v4, SPEAKER.v4 | 0xFF),
    "all on the link": (SPEAKER.v6, ALL6),
    "a group from a link-local address": (SPEAKER.link6, MDNS6),
    "what is flooded, as nobody knows where it is": (SPEAKER.v4, OUTSIDE4),
    "what is flooded of IPv6": (SPEAKER.v6, OUTSIDE6),
    "what goes to a sibling": (SPEAKER.v4, OTHER.v4),
    "what goes to its link-local address": (SPEAKER.v6, LISTENER.link6),
    "DHCP": (0, ALL4),
}


@pytest.mark.parametrize(("source", "target"), GROUPS.values(), ids=list(GROUPS))
def test_what_reaches_an_isolated_port_is_judged_as_the_senders(source: int, target: int) -> None:
    """NP-161: the sender is whom the port belongs to, whatever address it has at that moment."""
    node = bridge(*GUESTS)
    asking, other = datagram(source, target, 53), datagram(source, target, 99)
    assert node.delivers(asking, "veths", "vethr")
    assert not node.delivers(other, "veths", "vethr")
    # Of another sender nothing, nor of whom no port is known.
    for port in ("vetho", UNKNOWN, "eth1"):
        assert not node.delivers(asking, port, "vethr")
    # Who is not isolated hears all of it, and so do those who are no pods.
    for port in ("vetho", "eth1", UNKNOWN):
        assert node.delivers(other, "veths", port)


def test_a_pod_of_one_family_hears_groups_of_the_other_as_its_rules_say() -> None:
    """NP-161: isolation is of the pod, not of its address, of which it has none here."""
    node = bridge(*GUESTS)
    assert node.delivers(datagram(SPEAKER.v6, MDNS6, 53), "veths", "vethq")
    assert not node.delivers(datagram(SPEAKER.v6, MDNS6, 99), "veths", "vethq")
    assert not node.delivers(datagram(OTHER.v6, MDNS6, 53), "vetho", "vethq")
    four = bridge(Pod("s", families="4"), LISTENER)  # nobody knows an address to judge the sender by
    assert not four.delivers(datagram(SPEAKER.link6, MDNS6, 53), "veths", "vethr")
    assert four.delivers(datagram(SPEAKER.v4, MDNS4, 53), "veths", "vethr")


def test_rules_for_anybody_let_unknown_ports_in_and_blocks_do_not() -> None:
    anybody = Pod("r", hears=(("*", DNS),))
    some = Pod("r", hears=((Peers(v4=((0, (1 << 32) - 1),)), DNS),))
    asking = datagram(OUTSIDE4, MDNS4, 53)
    assert [bridge(p, OTHER).delivers(asking, "eth1", "vethr") for p in (anybody, some)] == [True, False]
    # A known sender is in the block by its address.
    assert bridge(some, OTHER).delivers(datagram(OTHER.v4, MDNS4, 53), "vetho", "vethr")


def test_an_unknown_sender_may_be_whom_a_rule_denies() -> None:
    """CNP-006, NP-161: it hears from the known ones whom the rules let in."""
    stages = (
        Stage(Tier.ADMIN, (Rule(Action.DENY, Peers(hosts=0b01), EVERYTHING, ORIGINS),), Action.PASS),
        Stage(Tier.NETWORK_POLICY, (Rule(Action.ACCEPT, ANYTHING, EVERYTHING, ORIGINS),), Action.DENY),
    )
    snapshot = snapshot_of(OTHER, Pod("r"), SPEAKER)
    isolated = replace(snapshot.endpoints[1], ingress=Isolation("ingress", ORIGINS, stages))
    snapshot = replace(snapshot, endpoints=(snapshot.endpoints[0], isolated, snapshot.endpoints[2]))
    node = Bridge.of(compile_snapshot(snapshot, CLOSED).table)
    heard = {port: node.delivers(datagram(OTHER.v4, MDNS4), port, "vethr") for port in ("vetho", "veths")}
    assert heard == {"vetho": False, "veths": True}
    assert not node.delivers(datagram(OTHER.v4, MDNS4), UNKNOWN, "vethr")


def test_what_goes_to_its_own_address_is_judged_in_family_inet() -> None:
    node = bridge(*GUESTS)
    for family in (4, 6):
        assert node.delivers(datagram(OTHER.address(family), LISTENER.address(family)), "vetho", "vethr")


def test_the_links_own_traffic_reaches_isolated_pods() -> None:
    """NP-083, NP-161, NP-164: ARP, IGMP, neighbours with hop limit 255, MLD from the link."""
    node = bridge(*GUESTS)
    passing = (
        arp(OTHER.v4, LISTENER.v4),
        Packet(4, OTHER.v4, 0xE000_0016, 2),
        *(icmp6(kind, OTHER.v6, ALL6) for kind in (133, 135, 136)),
        *(icmp6(kind, ROUTER6, ALL6) for kind in (134, 137)),
        *(icmp6(kind, source, MDNS6, hops=1) for kind in (130, 131, 132, 143) for source in (OTHER.link6, 0)),
    )
    assert [frame for frame in passing if not node.delivers(frame, "eth1", "vethr")] == []
    stopped = (
        *(icmp6(kind, OTHER.v6, ALL6, hops=254) for kind in (133, 134, 135, 136, 137)),
        *(icmp6(kind, OTHER.v6, MDNS6, hops=1) for kind in (130, 131, 132, 143)),
        icmp6(143, OTHER.link6, LISTENER.link6, hops=1),
        icmp6(128, OTHER.v6, ALL6),
    )
    assert [frame for frame in stopped if node.delivers(frame, "vetho", "vethr")] == []


def test_behind_an_unknown_port_an_isolated_pod_hears_what_goes_to_its_address_only() -> None:
    """NP-161: where receivers cannot be distinguished, groups are dropped; known ports are others'."""
    loose = replace(LOOSE, hears=(("s", DNS),))
    node = bridge(*GUESTS, loose, network=Network(("cni0",), (*PORTS, UNKNOWN), ("eth1",)))
    for family, group in ((4, MDNS4), (6, MDNS6)):
        source = SPEAKER.address(family)
        assert not node.delivers(datagram(source, group, 53), "veths", UNKNOWN)
        assert not node.delivers(datagram(source, OTHER.address(family), 53), "veths", UNKNOWN)
        assert node.delivers(datagram(source, loose.address(family), 53), "veths", UNKNOWN)
        assert node.delivers(datagram(source, group, 53), "veths", "vetho")
        assert node.delivers(datagram(source, group, 53), "veths", "eth1")
    assert node.delivers(icmp6(135, SPEAKER.v6, ALL6), "veths", UNKNOWN)
    assert node.delivers(arp(SPEAKER.v4, loose.v4), "veths", UNKNOWN)


def test_while_nobody_is_isolated_every_delivery_is_accepted() -> None:
    node = bridge(SPEAKER, OTHER, LOOSE)
    for frame in (TAGGED, datagram(SPEAKER.v4, MDNS4), datagram(SPEAKER.link6, MDNS6)):
        assert node.delivers(frame, "veths", "vetho")


# --- NP-161: what an isolated pod says from addresses that family inet does not know ---------------------

#: The target, the port, and whether a pod that may send UDP 53 to anybody says it from there.
SAID = {
    "DHCP": (0, ALL4, 67, False),
    "port 53 without an address": (0, ALL4, 53, True),
    "a group, port 53": (GAGGED.link6, MDNS6, 53, True),
    "a group": (GAGGED.link6, MDNS6, 99, False),
    "a link-local address, port 53": (GAGGED.link6, OTHER.link6, 53, True),
    "a link-local address": (GAGGED.link6, OTHER.link6, 99, False),
    "from its own address": (GAGGED.v6, MDNS6, 99, False),
    "from its own address, port 53": (GAGGED.v6, MDNS6, 53, True),
    "from its own IPv4 address": (GAGGED.v4, MDNS4, 99, False),
    "from its own IPv4 address to all, port 53": (GAGGED.v4, ALL4, 53, True),
    "to one address from its own: judged in family inet": (GAGGED.v4, OUTSIDE4, 99, True),
    "to one address of IPv6": (GAGGED.v6, OUTSIDE6, 99, True),
    "a pod's address, port 53": (GAGGED.link6, OTHER.v6, 53, True),
    "a pod's address": (GAGGED.link6, OTHER.v6, 99, False),
    "an address beyond, port 53": (GAGGED.link6, OUTSIDE6, 53, True),
    "an address beyond": (GAGGED.link6, OUTSIDE6, 99, False),
}


@pytest.mark.parametrize("out", ["vetho", "eth1", UNKNOWN])
@pytest.mark.parametrize("options", [CLOSED, OPEN], ids=["closed", "open"])
@pytest.mark.parametrize(("source", "target", "port", "said"), SAID.values(), ids=list(SAID))
def test_what_an_isolated_pod_says_from_an_address_that_is_no_pods(
    source: int, target: int, port: int, said: bool, options: Options, out: str
) -> None:
    """NP-161: is judged by what it may send to everybody on its link; nobody is beyond it."""
    node = bridge(*GUESTS, options=options)
    assert node.delivers(datagram(source, target, port), "vethg", out) is said


def test_a_block_counts_for_a_group_only_where_it_holds_all_of_them() -> None:
    """NP-161: an answer for the whole link is the least that any of its addresses is allowed."""
    link = (LINK6, (1 << 128) - 1)
    whole = Pod("g", says=((Peers(v6=(link,)), DNS),))
    holed = Pod("g", says=((Peers(v6=((LINK6, MDNS6 - 1), (MDNS6 + 1, link[1]))), DNS),))
    late = Pod("g", says=((Peers(v6=((LINK6 + 1, link[1]),)), DNS),))
    early = Pod("g", says=((Peers(v6=((0, link[1] - 1),)), DNS),))
    asking = datagram(GAGGED.link6, MDNS6, 53)
    heard = [bridge(pod, OTHER).delivers(asking, "vethg", "vetho") for pod in (whole, holed, late, early)]
    assert heard == [True, False, False, False]


def test_who_has_no_port_and_is_isolated_says_nothing_from_an_address_that_is_no_pods() -> None:
    """NP-161: any unknown port may be its port; the link's own traffic passes."""
    loose = replace(LOOSE, says=(("o", EVERYTHING),))
    node = bridge(SPEAKER, OTHER, loose, network=Network(("cni0",), ("vetho", "veths", UNKNOWN), ("eth1",)))
    for source, target in ((LINK6 | 1, MDNS6), (LINK6 | 1, OTHER.v6), (LINK6 | 1, OTHER.link6), (0, ALL4)):
        assert not node.delivers(datagram(source, target, 67), UNKNOWN, "vetho")
        assert node.delivers(datagram(source, target, 67), "eth1", "vetho")
    assert node.delivers(datagram(SPEAKER.link6, MDNS6), "veths", "vetho")
    assert node.delivers(icmp6(135, LINK6 | 1, ALL6), UNKNOWN, "vetho")
    assert not node.delivers(datagram(loose.v6, MDNS6), UNKNOWN, "vetho")
    assert node.delivers(datagram(loose.v6, OTHER.v6), UNKNOWN, "vetho")


def test_policies_that_allow_everything_ask_nothing_of_deliveries() -> None:
    """NP-165: not of pods without a port, either; whoever else is isolated."""
    everything = (("*", EVERYTHING),)
    pods = (replace(SPEAKER, says=everything), replace(OTHER, hears=everything))
    for others in ((), (LISTENER, GAGGED)):
        node = bridge(*pods, *others, replace(LOOSE, hears=everything, says=everything))
        for frame in (TAGGED, datagram(SPEAKER.v4, MDNS4), datagram(SPEAKER.link6, LOOSE.v6)):
            for port in ("veths", "vetho", UNKNOWN, "eth1"):
                assert node.delivers(frame, "veths", port)
                assert node.delivers(frame, UNKNOWN, port)


def test_a_port_whose_pod_shares_one_address_is_judged_by_all_that_isolates_it() -> None:
    """NP-166: its IPv4 address is claimed by another, too, its IPv6 address by nobody else."""
    shared = Pod("a", port="vethp", families="4", hears=(("s", DNS),), says=())
    own = Pod("b", port="vethp", families="6", hears=(("s", EVERYTHING), ("o", DNS)), says=(("*", DNS),))
    for pods in ((shared, own), (replace(shared, name="b"), replace(own, name="a"))):
        node = bridge(SPEAKER, OTHER, *pods)
        for family, group in ((4, MDNS4), (6, MDNS6)):
            heard = [
                node.delivers(datagram(pod.address(family), group, port), f"veth{pod.name}", "vethp")
                for pod, port in ((SPEAKER, 53), (SPEAKER, 99), (OTHER, 53))
            ]
            assert heard == [True, False, False]
        assert not node.delivers(datagram(LINK6 | 1, MDNS6, 53), "vethp", "vetho")


def test_a_claimant_without_a_port_may_be_behind_any() -> None:
    """NP-166: of two pods that claim an address one is known by its port."""
    snapshot = snapshot_of(SPEAKER, OTHER, Pod("c", hears=(("s", DNS),), says=()))
    claimed, *rest = snapshot.endpoints
    claimed = replace(claimed, claimants=("ns/c", "ns/d"))
    node = Bridge.of(compile_snapshot(replace(snapshot, endpoints=(claimed, *rest)), CLOSED).table)
    assert not node.delivers(datagram(SPEAKER.v4, MDNS4, 99), "veths", UNKNOWN)
    assert node.delivers(datagram(SPEAKER.v4, claimed.host.v4 or 0, 99), "veths", UNKNOWN)
    assert not node.delivers(datagram(LINK6 | 1, MDNS6), UNKNOWN, "vetho")
    # Whose address it is is not settled by who sends with it.
    assert not node.enters(datagram(claimed.host.v4 or 0, MDNS4), UNKNOWN)


def test_what_an_isolated_pod_sends_to_groups_is_judged_where_its_receivers_are() -> None:
    """NP-108, NP-161: one hook decides both, so that no packet meets halves of two rulesets."""
    some = Peers(v4=((10 << 24, (10 << 24) + 255), (MDNS4, MDNS4)))
    groups6 = Peers(v6=((0xFF00 << 112, (1 << 128) - 1),))
    speaker = Pod("g", says=((some, DNS), (groups6, EVERYTHING)))
    node = bridge(speaker, OTHER)
    expected: dict[tuple[int, int, int, PacketType], bool] = {
        (speaker.v4, MDNS4, 53, "multicast"): True,
        (speaker.v4, MDNS4, 99, "multicast"): False,
        (speaker.v4, MDNS4 + 1, 53, "multicast"): False,
        (speaker.v4, ALL4, 53, "broadcast"): False,
        (speaker.v4, 10 << 24 | 255, 53, "broadcast"): True,
        (speaker.v4, 10 << 24 | 255, 99, "broadcast"): False,
        (speaker.v4, 172 << 24, 53, "broadcast"): False,
        (speaker.v6, MDNS6, 99, "multicast"): True,
        (OTHER.v4, MDNS4, 99, "multicast"): True,
    }
    found = {
        (source, target, port, kind): node.delivers(
            replace(datagram(source, target, port), pkttype=kind), "vethg", "eth1"
        )
        for source, target, port, kind in expected
    }
    assert found == expected
