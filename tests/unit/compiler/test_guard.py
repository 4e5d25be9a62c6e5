"""What family inet asks of interfaces: whose address came by which, what leads into tunnels, who hears."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policyd_compiler.ir import Network, Peers
from policyd_compiler.nft.packet import CtStateName, HookName, Packet
from policyd_compiler.options import Options
from policyd_compiler.ports import EVERYTHING, PortSet
from policyd_compiler.sim import Simulator
from tests.bridge import ALL4, ALL6, MDNS4, MDNS6, Pod, compiled, datagram, icmp6

CLOSED, OPEN = Options(pod_interfaces=("veth*", "cni0")), Options()
BOTH = pytest.mark.parametrize("options", [CLOSED, OPEN], ids=["closed", "open"])
#: Routed pods, and the same on a bridge, by which their packets come to the hooks of IP.
ROUTED = (Pod("a", bridge=""), Pod("b", bridge=""), Pod("l", port="", bridge=""))
BRIDGED = (Pod("a"), Pod("b"), Pod("l", port=""))
A, B, LOOSE = ROUTED
NODE4, NODE6 = (192 << 24) + 2, 0x2001 << 112 | 2
OUTSIDE4, OUTSIDE6, NOBODY4 = 203 << 24, 0x2001 << 112 | 0xFF, A.v4 + 200
NODES = Network((), (), (), (NODE4,), (NODE6,), (9999,))
STATES: tuple[CtStateName, ...] = ("new", "established", "related", "invalid", "untracked")


def verdict(
    packet: Packet, *pods: Pod, options: Options, way: str = "", network: Network | None = None
) -> bool:
    """Whether a packet passes; `way` is "IN OUT", by which it comes and goes."""
    coming, _, going = way.partition(" ")
    table = compiled(*pods, options=options, network=network or Network(nodes4=(NODE4,), nodes6=(NODE6,)))
    met = replace(packet, iifname=coming, oifname=going)
    return Simulator(table).evaluate(met).verdict == "accept"


# --- NP-162: the address of a pod, from its interface only ---------------------------------------------


@BOTH
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("hook", ["forward", "input"])
@pytest.mark.parametrize("family", [4, 6])
def test_a_pods_address_comes_from_its_interface(
    family: int, hook: HookName, state: CtStateName, options: Options
) -> None:
    """NP-162: also in the middle of a known connection, whose ports somebody else may know."""
    sent = replace(datagram(A.address(family), B.address(family)), hook=hook, ct_state=state)
    assert verdict(sent, *ROUTED, options=options, way="vetha vethb")
    for other in ("vethb", "vethx", "cni0", "eth0", "flannel.1", "lo"):
        assert not verdict(sent, *ROUTED, options=options, way=f"{other} vethb")


@BOTH
def test_what_the_node_itself_sends_bears_whatever_address_it_likes(options: Options) -> None:
    """Under IPVS packets of pods pass `output`: whose they are was asked when they came in."""
    for family in (4, 6):
        sent = replace(datagram(A.address(family), B.address(family)), hook="output")
        assert verdict(sent, *ROUTED, options=options, way=" vethb")


@BOTH
def test_on_a_bridge_it_comes_from_the_bridge_and_family_bridge_knows_by_which_port(options: Options) -> None:
    links = Network(("cni0",), ("vetha", "vethb"), ("eth1",))
    for family in (4, 6):
        sent = datagram(A.address(family), B.address(family))
        assert verdict(sent, *BRIDGED, options=options, way="cni0 cni0", network=links)
        for other in ("eth0", "vetha", "docker0"):
            assert not verdict(sent, *BRIDGED, options=options, way=f"{other} cni0", network=links)


def test_an_address_that_two_pods_claim_comes_from_either() -> None:
    """NP-166."""
    claimed = Pod("a", bridge="", second_port="vetha2")
    for name, passes in (("vetha", True), ("vetha2", True), ("vethb", False)):
        sent = datagram(A.v4, B.v4)
        assert verdict(sent, claimed, B, options=CLOSED, way=f"{name} vethb") is passes


#: What a routed pod's interface sends on: passes where unknown pods are closed, and where they are not.
SENT = {
    "its own": (datagram(A.v4, OUTSIDE4), True, True),
    "its own IPv6": (datagram(A.v6, OUTSIDE6), True, True),
    "nobody's": (datagram(NOBODY4, OUTSIDE4), False, False),
    "nobody's IPv6": (datagram(OUTSIDE6, B.v6), False, False),
    "a pod's without an interface": (datagram(LOOSE.v4, OUTSIDE4), False, False),
    "a link-local address": (datagram(A.link6, B.v6), False, False),
    "a link-local address to a group": (datagram(A.link6, MDNS6), False, False),
    "no address": (datagram(0, ALL4, 67), False, False),
}


@pytest.mark.parametrize(("packet", "closed", "opened"), SENT.values(), ids=list(SENT))
def test_a_pods_interface_sends_its_pods_addresses_only(packet: Packet, closed: bool, opened: bool) -> None:
    """NP-162, NP-151: whatever connection tracking calls it, but a known connection."""
    for options, expected in ((CLOSED, closed), (OPEN, opened)):
        for state in ("new", "invalid", "untracked"):
            sent = replace(packet, ct_state=state)
            assert verdict(sent, *ROUTED, options=options, way="vetha eth0") is expected


@pytest.mark.parametrize("where", ["vethx", "eth0"])
def test_what_unknown_interfaces_send(where: str) -> None:
    """NP-107: pods' interfaces that are not known send what known pods without one have, or nothing."""
    expected = {"vethx": (True, False, False), "eth0": (True, True, True)}[where]
    packets = (datagram(LOOSE.v4, B.v4), datagram(NOBODY4, B.v4), datagram(LOOSE.link6, B.v6))
    for packet, passes in zip(packets, expected, strict=True):
        assert verdict(packet, *ROUTED, options=CLOSED, way=f"{where} vethb") is passes
        assert verdict(packet, *ROUTED, options=OPEN, way=f"{where} vethb")


#: What a pod sends to its own node, and whether it passes: from a routed pod, and from a bridge.
TO_NODE = {
    "from its address": (datagram(A.v4, NODE4), True),
    "from nobody's": (datagram(NOBODY4, NODE4), False),
    "from nobody's IPv6": (datagram(OUTSIDE6, NODE6), False),
    "from its link-local address": (datagram(A.link6, NODE6), True),
    "it asks for an address": (datagram(0, ALL4, 67), True),
    "from no address": (datagram(0, ALL4, 68), False),
    "to the node's loopback": (datagram(A.v4, 127 << 24 | 1), False),
    "a neighbour": (icmp6(135, A.link6, ALL6), True),
    "the question for routers": (icmp6(133, 0, ALL6), True),
    "DAD": (icmp6(135, 0, ALL6, about=A.link6), True),
    "MLD without an address": (icmp6(143, 0, 0xFF02 << 112 | 0x16, hops=1), True),
    "echo without an address": (icmp6(128, 0, NODE6), False),
    "a router advertisement": (icmp6(134, A.link6, ALL6), False),
    "a redirect": (icmp6(137, A.link6, NODE6), False),
}


@pytest.mark.parametrize("pods", [ROUTED, BRIDGED], ids=["routed", "bridged"])
@pytest.mark.parametrize(("packet", "passes"), TO_NODE.values(), ids=list(TO_NODE))
def test_what_a_pod_sends_to_its_node(packet: Packet, passes: bool, pods: tuple[Pod, ...]) -> None:
    """NP-151, NP-162, NP-164."""
    links = Network(("cni0",) if pods is BRIDGED else (), (), (), (NODE4,), (NODE6,))
    state: CtStateName = "untracked" if packet.icmp_type else "new"
    met = replace(packet, hook="input", ct_state=state)
    came = "cni0" if pods is BRIDGED else "vetha"
    assert verdict(met, *pods, options=CLOSED, way=came, network=links) is passes
    if pods is ROUTED:
        assert verdict(met, *pods, options=OPEN, way=came, network=links) is passes
    # From elsewhere it is the node's own business.
    other = met.saddr not in (A.v4, A.v6)
    assert verdict(met, *pods, options=CLOSED, way="eth0", network=links) is other


# --- NP-163: tunnels ---------------------------------------------------------------------------------------

TUNNELS = {
    **{f"UDP {port}": datagram(A.v4, NODE4, port) for port in (4789, 6081, 6784, 8472, 51820, 51821)},
    "this node's own port": datagram(A.v4, NODE4, 9999),
    "VXLAN over IPv6": datagram(A.v6, NODE6, 4789),
    "IPIP": Packet(4, A.v4, NODE4, 4),
    "IPv6 in IPv4": Packet(4, A.v4, NODE4, 41),
    "GRE": Packet(4, A.v4, NODE4, 47),
    "GRE over IPv6": Packet(6, A.v6, NODE6, 47),
}
#: What looks like one, and is none.
HONEST = {
    "another port": datagram(A.v4, NODE4, 4790),
    "TCP": replace(datagram(A.v4, NODE4, 4789), protocol="tcp"),
    "from the port": replace(datagram(A.v4, NODE4, 53), sport=4789),
    "ESP": Packet(4, A.v4, NODE4, 50),
}
HOOKS: tuple[tuple[HookName, str], ...] = (("forward", "vetha eth0"), ("input", "vetha"))


@BOTH
@pytest.mark.parametrize(("hook", "way"), HOOKS, ids=["another node", "this node"])
@pytest.mark.parametrize("packet", TUNNELS.values(), ids=list(TUNNELS))
def test_a_pod_reaches_no_nodes_tunnels(packet: Packet, hook: HookName, way: str, options: Options) -> None:
    """NP-163: new, or of no state that conntrack knows; a setting opens them; others are not pods."""
    for state in ("new", "untracked", "invalid"):
        met = replace(packet, hook=hook, ct_state=state)
        assert not verdict(met, *ROUTED, options=options, way=way, network=NODES)
        opened = replace(options, pod_tunnels="allow")
        assert verdict(met, *ROUTED, options=opened, way=way, network=NODES)
        elsewhere = replace(met, saddr=NODE4 if met.family == 4 else NODE6)
        assert verdict(elsewhere, *ROUTED, options=options, way=f"eth0 {way[6:]}".strip(), network=NODES)


@BOTH
@pytest.mark.parametrize(("hook", "way"), HOOKS, ids=["another node", "this node"])
@pytest.mark.parametrize("packet", HONEST.values(), ids=list(HONEST))
def test_all_else_reaches_nodes(packet: Packet, hook: HookName, way: str, options: Options) -> None:
    assert verdict(replace(packet, hook=hook), *ROUTED, options=options, way=way, network=NODES)


@BOTH
def test_tunnels_to_who_is_no_node_are_policies_business(options: Options) -> None:
    for packet in TUNNELS.values():
        away = replace(packet, daddr=OUTSIDE4 if packet.family == 4 else OUTSIDE6)
        assert verdict(away, *ROUTED, options=options, way="vetha eth0", network=NODES)


# --- NP-161: groups, where no table in family bridge judges them -----------------------------------------

NOBODY_HEARS = (Pod("a", bridge="", hears=(("b", EVERYTHING),)), B, LOOSE)
ALL_HEAR = (Pod("a", bridge="", hears=(("*", EVERYTHING),)), B, LOOSE)
#: A packet to a pod's interface; whether it passes while nobody is isolated, and while somebody is.
HEARD = {
    "a group": (datagram(B.v4, MDNS4), True, False),
    "a group of IPv6": (datagram(B.v6, MDNS6), True, False),
    "IGMP": (Packet(4, B.v4, 0xE000_0001, 2), True, True),
    "a known address": (datagram(B.v4, LOOSE.v4), True, True),
    "an unknown one": (datagram(B.v4, NOBODY4), False, False),
    "an unknown one of IPv6": (datagram(B.v6, OUTSIDE6), False, False),
    "all of the subnet": (replace(datagram(B.v4, A.v4 | 0xFF), fib_daddr="broadcast"), False, False),
}


@pytest.mark.parametrize(("packet", "free", "isolated"), HEARD.values(), ids=list(HEARD))
def test_who_hears_what_on_a_routed_network(packet: Packet, free: bool, isolated: bool) -> None:
    """NP-107, NP-161: while some pod is isolated no pod hears groups, as nobody knows which of them does."""
    way = "vethb vethx"
    assert verdict(packet, *ROUTED, options=CLOSED, way=way) is free
    assert verdict(packet, *NOBODY_HEARS, options=CLOSED, way=way) is isolated
    assert verdict(packet, *ALL_HEAR, options=CLOSED, way=way) is free
    assert verdict(packet, *NOBODY_HEARS, options=CLOSED, way="vethb eth0")


def test_on_a_bridge_groups_and_broadcasts_are_left_to_family_bridge() -> None:
    isolated = (Pod("a", hears=(("b", PortSet()),)), Pod("b"))
    links = Network(("cni0",), ("vetha", "vethb"))
    for packet in (
        datagram(B.v4, MDNS4),
        datagram(B.v6, MDNS6),
        datagram(B.link6, MDNS6),
        replace(datagram(B.v4, B.v4 | 0xFF), fib_daddr="broadcast"),
        replace(datagram(0, ALL4, 67), fib_daddr="broadcast"),
    ):
        assert verdict(packet, *isolated, options=CLOSED, way="cni0 cni0", network=links)
    for packet in (datagram(B.v4, NOBODY4), datagram(B.link6, B.link6 + 1), datagram(B.link6, A.v6)):
        assert not verdict(packet, *isolated, options=CLOSED, way="cni0 cni0", network=links)


def test_an_isolated_pods_groups_are_its_egress() -> None:
    """NP-161: the sender's part is judged by its address, in family inet, wherever a hook meets it."""
    speaker = Pod("a", says=((Peers(v4=((MDNS4, MDNS4),)), PortSet(udp=((5353, 5353),))),))
    links = Network(("cni0",), ("vetha", "vethb"))
    for packet, passes in (
        (datagram(A.v4, MDNS4), True),
        (datagram(A.v4, MDNS4, 53), False),
        (datagram(A.v4, MDNS4 + 1), False),
        (datagram(A.v6, MDNS6), False),
    ):
        met = verdict(packet, speaker, Pod("b"), options=CLOSED, way="cni0 cni0", network=links)
        assert met is passes


def test_without_interfaces_nothing_is_guarded() -> None:
    table = compiled(Pod("a", port="", bridge=""), options=OPEN)
    assert [chain.name for chain in table.chains if not chain.hook] == []
