"""What the table in family bridge does to each kind of frame: who sends, and who hears."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policyd_compiler.ir import Network
from policyd_compiler.nft.packet import QINQ, VLAN, Packet
from policyd_compiler.options import Options
from tests.bridge import (
    ALL4,
    ALL6,
    CLOSED,
    DNS,
    GUESTS,
    LINK6,
    LISTENER,
    LOOSE,
    MDNS4,
    OPEN,
    OTHER,
    OUTSIDE4,
    OUTSIDE6,
    SPEAKER,
    UNKNOWN,
    Pod,
    arp,
    bridge,
    compiled,
    datagram,
    icmp6,
)

# --- NP-160: frames that no policy could judge ---------------------------------------------------------

HELLO = replace(datagram(SPEAKER.v4, OTHER.v4), ether_saddr=SPEAKER.ether)
TAGGED = {
    "a tag with VID 0": replace(HELLO, vlan=0),
    "a tag": replace(HELLO, vlan=7),
    "802.1ad": replace(HELLO, vlan=0, vlan_type=QINQ),
    "two tags": replace(HELLO, vlan=0, network=VLAN),
    "PPPoE": replace(HELLO, network=0x8864),
    "MPLS": replace(HELLO, network=0x8847),
    "LLDP": replace(HELLO, network=0x88CC),
    "a length (802.3)": replace(HELLO, network=100),
    "tagged ARP": replace(arp(SPEAKER.v4, OTHER.v4, SPEAKER.ether), vlan=0),
    "tagged IPv6": replace(datagram(SPEAKER.v6, OTHER.v6), vlan=0),
}


@pytest.mark.parametrize("options", [CLOSED, OPEN], ids=["closed", "open"])
@pytest.mark.parametrize("frame", TAGGED.values(), ids=list(TAGGED))
def test_what_is_neither_ipv4_ipv6_nor_arp_does_not_leave_a_pod(frame: Packet, options: Options) -> None:
    """NP-160: from a port that is bound and from one that may be a pod's; others' ports are not ours."""
    node = bridge(*GUESTS, options=options, network=Network(("cni0",), (*PORTS, UNKNOWN), ("eth1",)))
    assert not node.enters(frame, "veths")
    assert not node.enters(replace(frame, ether_saddr=0), UNKNOWN)
    assert node.enters(frame, "eth1")
    assert node.enters(frame, "ens3")


PORTS = tuple(f"veth{pod.name}" for pod in GUESTS)


def test_what_is_neither_ipv4_ipv6_nor_arp_reaches_no_isolated_pod() -> None:
    """NP-160: whoever sends it."""
    node = bridge(*GUESTS)
    for frame in TAGGED.values():
        assert not node.delivers(frame, "eth1", "vethr")
        assert node.delivers(frame, "eth1", "vetho")
    assert node.delivers(arp(OUTSIDE4, LISTENER.v4), "eth1", "vethr")


# --- NP-162: a pod's port carries its pod's addresses --------------------------------------------------

#: A frame, and whether it is taken from the port of the speaker.
SENT = {
    "its IPv4 address": (datagram(SPEAKER.v4, OTHER.v4), True),
    "its IPv6 address": (datagram(SPEAKER.v6, OTHER.v6), True),
    "a sibling's IPv4 address": (datagram(OTHER.v4, SPEAKER.v4), False),
    "a sibling's IPv6 address": (datagram(OTHER.v6, SPEAKER.v6), False),
    "nobody's IPv4 address": (datagram(OUTSIDE4, OTHER.v4), False),
    "nobody's IPv6 address": (datagram(OUTSIDE6, OTHER.v6), False),
    "a pod's that has no known port": (datagram(LOOSE.v4, OTHER.v4), False),
    "a link-local address": (datagram(SPEAKER.link6, OTHER.link6), True),
    "169.254.0.1": (datagram(169 << 24 | 254 << 16 | 1, OTHER.v4), False),
    "DHCP": (datagram(0, ALL4, 67), True),
    "0.0.0.0 to another port": (datagram(0, ALL4, 68), False),
    "0.0.0.0 to one address": (datagram(0, OTHER.v4, 67), False),
    "0.0.0.0 by TCP": (replace(datagram(0, ALL4, 67), protocol="tcp"), False),
    "DAD": (icmp6(135, 0, ALL6, about=SPEAKER.link6), True),
    "the question for routers": (icmp6(133, 0, ALL6), True),
    "MLD without an address": (icmp6(143, 0, 0xFF02 << 112 | 0x16, hops=1), True),
    "echo without an address": (icmp6(128, 0, OTHER.v6), False),
    "UDP without an IPv6 address": (datagram(0, OTHER.v6, family=6), False),
    "ARP for itself": (arp(SPEAKER.v4, OTHER.v4, SPEAKER.ether), True),
    "an answer in ARP": (arp(SPEAKER.v4, OTHER.v4, SPEAKER.ether, operation=2), True),
    "an ARP probe": (arp(0, SPEAKER.v4, SPEAKER.ether), True),
    "ARP for a sibling": (arp(OTHER.v4, SPEAKER.v4, SPEAKER.ether, operation=2), False),
    "ARP for its gateway": (arp(V4_GATEWAY := OUTSIDE4 + 1, OTHER.v4, SPEAKER.ether, operation=2), False),
    "ARP with a sibling's hardware address": (arp(SPEAKER.v4, OTHER.v4, OTHER.ether, operation=2), False),
    "an ARP probe with a sibling's hardware address": (arp(0, SPEAKER.v4, OTHER.ether), False),
    "ARP with nobody's hardware address": (arp(SPEAKER.v4, OTHER.v4, 0x06 << 40), True),
    "its address advertised": (icmp6(136, SPEAKER.v6, OTHER.v6, about=SPEAKER.v6), True),
    "its link-local address advertised": (icmp6(136, SPEAKER.link6, ALL6, about=SPEAKER.link6), True),
    "a sibling's address advertised": (icmp6(136, SPEAKER.v6, OTHER.v6, about=OTHER.v6), False),
    "a sibling's address advertised from its link": (
        icmp6(136, SPEAKER.link6, ALL6, about=OTHER.v6),
        False,
    ),
    "nobody's address advertised": (icmp6(136, SPEAKER.v6, ALL6, about=OUTSIDE6), False),
    "a sibling's link-local address advertised": (
        icmp6(136, SPEAKER.v6, ALL6, about=OTHER.link6),
        True,  # link-local-claims, docs/security.md
    ),
    "a question about a sibling": (icmp6(135, SPEAKER.v6, ALL6, about=OTHER.v6), True),
    "a router advertisement": (icmp6(134, SPEAKER.link6, ALL6), False),
    "a redirect": (icmp6(137, SPEAKER.link6, OTHER.link6), False),
    "a router advertisement from its address": (icmp6(134, SPEAKER.v6, ALL6, hops=64), False),
}


@pytest.mark.parametrize("options", [CLOSED, OPEN], ids=["closed", "open"])
@pytest.mark.parametrize(("frame", "taken"), SENT.values(), ids=list(SENT))
def test_a_bound_port_sends_only_what_its_pod_may(frame: Packet, taken: bool, options: Options) -> None:
    """NP-162, NP-164: whatever else is open, as the port is known."""
    node = bridge(*GUESTS, LOOSE, options=options)
    assert node.enters(replace(frame, ether_saddr=SPEAKER.ether), "veths") is taken


@pytest.mark.parametrize("frame", [frame for frame, taken in SENT.values() if not taken])
def test_what_leads_to_no_pod_is_not_judged(frame: Packet) -> None:
    """Uplinks of a bridge, hardware, and ports of other bridges, even if they are named like a pod's."""
    node = bridge(*GUESTS, LOOSE)
    assert [node.enters(frame, name) for name in ("eth1", "ens3", "vethd")] == [True] * 3


def test_a_bridge_does_not_learn_a_pods_hardware_address_at_another_port() -> None:
    """NP-162: with any payload; an address that is no pod's can be taken, as some pods have more."""
    node = bridge(*GUESTS, Pod("m", mac=False), LOOSE)
    for payload in (datagram(OTHER.v4, SPEAKER.v4), arp(OTHER.v4, SPEAKER.v4), icmp6(135, 0, ALL6)):
        assert node.enters(replace(payload, ether_saddr=OTHER.ether), "vetho")
        assert node.enters(replace(payload, ether_saddr=0x06 << 40), "vetho")
        assert not node.enters(replace(payload, ether_saddr=SPEAKER.ether), "vetho")
        assert not node.enters(replace(payload, ether_saddr=SPEAKER.ether), UNKNOWN)


def test_where_no_hardware_address_is_known_none_is_asked_for() -> None:
    node = bridge(Pod("m", mac=False), Pod("n", mac=False))
    assert node.enters(replace(datagram(Pod("m").v4, ALL4), ether_saddr=Pod("n").ether), "vethm")
    assert node.enters(arp(Pod("m").v4, ALL4, Pod("n").ether), "vethm")


def test_an_address_that_two_pods_claim_comes_by_both_their_ports() -> None:
    """NP-166: who of them holds it, nobody knows."""
    claimed = Pod("c", second_port="vethc2", hears=(("s", DNS),))
    node = bridge(claimed, SPEAKER)
    for port in ("vethc", "vethc2"):
        assert node.enters(datagram(claimed.v4, SPEAKER.v4), port)
        assert node.delivers(datagram(SPEAKER.v4, claimed.v4, 99), "veths", port)
        assert node.delivers(datagram(SPEAKER.v4, MDNS4, 53), "veths", port)
        assert not node.delivers(datagram(SPEAKER.v4, MDNS4, 99), "veths", port)
    assert not node.enters(datagram(claimed.v4, SPEAKER.v4), "veths")


#: The source, and whether a port that is not known sends it where unknown pods are closed, and where not.
UNBOUND = {
    "a pod's without a port": (datagram(LOOSE.v4, OTHER.v4), True, True),
    "IPv6 of a pod without a port": (datagram(LOOSE.v6, OTHER.v6), True, True),
    "its ARP": (arp(LOOSE.v4, OTHER.v4), True, True),
    "a bound pod's": (datagram(OTHER.v4, SPEAKER.v4), False, False),
    "IPv6 of a bound pod": (datagram(OTHER.v6, SPEAKER.v6), False, False),
    "a bound pod's ARP": (arp(OTHER.v4, SPEAKER.v4), False, False),
    "nobody's": (datagram(OUTSIDE4, OTHER.v4), False, True),
    "IPv6 of nobody": (datagram(OUTSIDE6, OTHER.v6), False, True),
    "nobody's ARP": (arp(OUTSIDE4, OTHER.v4), False, True),
    "an advertisement": (icmp6(136, LOOSE.v6, ALL6, about=LOOSE.v6), True, True),
    "a router advertisement": (icmp6(134, LINK6 | 1, ALL6), False, False),
    "DHCP": (datagram(0, ALL4, 67), True, True),
}


@pytest.mark.parametrize(("frame", "closed", "opened"), UNBOUND.values(), ids=list(UNBOUND))
def test_a_port_that_is_not_known_sends_what_is_nobody_elses(
    frame: Packet, closed: bool, opened: bool
) -> None:
    """NP-107, NP-162: where unknown pods are closed, only what a pod without a known port has."""
    ports = Network(("cni0",), (*PORTS, UNKNOWN), ("eth1",))
    for options, expected in ((CLOSED, closed), (OPEN, opened)):
        node = bridge(*GUESTS, LOOSE, options=options, network=ports)
        assert node.enters(frame, UNKNOWN) is expected


def test_without_pods_that_have_no_port_nobody_advertises_from_an_unknown_one() -> None:
    stolen = icmp6(136, LINK6 | 1, ALL6, about=OTHER.v6)
    assert not bridge(*GUESTS).enters(stolen, UNKNOWN)
    assert bridge(*GUESTS, LOOSE).enters(stolen, UNKNOWN)  # the condition pods-unbound says so


def test_where_only_unknown_ports_are_there_they_are_judged_all_the_same() -> None:
    node = bridge(LOOSE, network=Network(("cni0",), (UNKNOWN,), ()))
    assert node.enters(datagram(LOOSE.v4, ALL4), UNKNOWN)
    assert not node.enters(datagram(OUTSIDE4, ALL4), UNKNOWN)
    assert not node.enters(replace(datagram(LOOSE.v4, ALL4), network=VLAN), UNKNOWN)


def test_without_a_bridge_there_is_no_table_alongside() -> None:
    routed = Pod("a", bridge="")
    assert compiled(routed, options=CLOSED).bridge is None
    assert compiled(options=CLOSED).bridge is None
    assert compiled(LOOSE, options=OPEN, network=Network(("cni0",))).bridge is None


@pytest.mark.parametrize("options", [CLOSED, OPEN], ids=["closed", "open"])
def test_a_bound_port_is_judged_though_it_is_not_listed(options: Options) -> None:
    """NP-162: the ports of bridges come from another reading than the pods'."""
    node = bridge(*GUESTS, options=options, network=Network(("cni0",)))
    assert not node.enters(datagram(OTHER.v4, SPEAKER.v4), "veths")
    assert not node.delivers(datagram(OTHER.v4, MDNS4), "vetho", "vethr")


# --- what does not depend on who is there ----------------------------------------------------------------


def test_the_first_hook_comes_before_what_others_have_and_the_second_where_inet_has_it() -> None:
    table = compiled(*GUESTS, options=CLOSED).bridge
    assert table is not None
    hooks = {chain.name: (chain.hook.hook, chain.hook.priority) for chain in table.chains if chain.hook}
    assert hooks == {"prerouting": ("prerouting", -300), "forward": ("forward", -10)}


def test_nothing_is_rejected_in_family_bridge() -> None:
    """Decisions 5: the family knows no such verdict."""
    node = bridge(*GUESTS, options=replace(CLOSED, deny="reject"))
    assert not node.delivers(datagram(OTHER.v4, MDNS4), "vetho", "vethr")
