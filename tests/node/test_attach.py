"""Which interface leads to which pod: from libcni's results, routes, and the other ends of veths (NP-162)."""

from __future__ import annotations

from collections.abc import Mapping

from policyd.cluster.attachments import UNKNOWN, Attachments
from policyd.netlink.links import Link, Way
from policyd.netlink.peers import Peer
from policyd.node.attach import LocalPod, Network, attach
from policyd_compiler.ir import Attachment

A, B = (4, 0x0A000001), (4, 0x0A000002)
BRIDGE = Link(1, "cni0", "bridge")
PORT_A = Link(2, "vetha", "veth", master=1, peer=2, netns=0)
PORT_B = Link(3, "vethb", "veth", master=1, peer=2, netns=1)
UPLINK = Link(4, "eth1", "", master=1)
DOCKER = Link(5, "docker0", "bridge")
CONTAINER = Link(6, "vethd", "veth", master=5, peer=2, netns=2)
LINKS = (BRIDGE, PORT_A, PORT_B, UPLINK, DOCKER, CONTAINER)
OVER_BRIDGE = {A: Way(1), B: Way(1)}
POD_A, POD_B = LocalPod("x/a", frozenset({A})), LocalPod("x/b", frozenset({B}))


def interfaces(found: Attachments) -> dict[str, str]:
    return {key: attachment.interface for key, attachment in found.pods.items()}


def by_peers(
    peers: Mapping[int, frozenset[tuple[int, int]]],
    *pods: LocalPod,
    before: Attachments = UNKNOWN,
) -> dict[str, str]:
    network = Network(
        LINKS, OVER_BRIDGE, {index: Peer(addresses, None) for index, addresses in peers.items()}
    )
    return interfaces(attach(pods or (POD_A, POD_B), network, before))


def test_the_plugins_result_names_the_port_and_its_bridge() -> None:
    pods = (
        LocalPod("x/a", frozenset({A}), ("cni0", "vetha"), mac=0x02_00_00_00_00_0A),
        LocalPod("x/b", frozenset({B}), ("cni0", "vethb")),
    )
    found = attach(pods, Network(LINKS, OVER_BRIDGE), UNKNOWN)
    assert found.pods == {
        "x/a": Attachment("vetha", "cni0", 0x02_00_00_00_00_0A),
        "x/b": Attachment("vethb", "cni0"),
    }
    assert (found.bridges, found.others) == (("cni0",), ("eth1", "vethd"))


def test_a_bridge_with_a_port_to_elsewhere_may_lead_to_pods_of_other_nodes() -> None:
    """Ports of other bridges do not count, nor do those that may lead to a pod."""
    assert attach((POD_A, POD_B), Network(LINKS, OVER_BRIDGE), UNKNOWN).shared == ("cni0",)
    alone = (BRIDGE, PORT_A, PORT_B, DOCKER, CONTAINER, Link(7, "eth9", "", master=5))
    assert attach((POD_A, POD_B), Network(alone, OVER_BRIDGE), UNKNOWN).shared == ()


def test_a_result_that_names_no_link_or_several_binds_nothing() -> None:
    pods = (
        LocalPod("x/a", frozenset({A}), ("cni0", "vethgone")),
        LocalPod("x/b", frozenset({B}), ("vetha", "vethb")),
    )
    assert interfaces(attach(pods, Network(LINKS, OVER_BRIDGE), UNKNOWN)) == {}


def test_a_host_route_over_a_veth_binds_and_one_over_hardware_or_a_gateway_does_not() -> None:
    links = (Link(7, "cali1", "veth", peer=2, netns=0), Link(8, "eth0"), Link(9, "vxlan0", "vxlan"))
    for way, expected in (
        (Way(7), {"x/a": "cali1"}),
        (Way(7, gateway=True), {}),
        (Way(8), {}),
        (Way(9), {}),
    ):
        found = attach((POD_A,), Network(links, {A: way}), UNKNOWN)
        assert interfaces(found) == expected
        assert found.bridges == ()


def test_a_bridge_that_only_a_route_names_leads_to_pods_and_its_ports_are_not_others() -> None:
    found = attach((POD_A, POD_B), Network(LINKS, OVER_BRIDGE), UNKNOWN)
    assert (interfaces(found), found.bridges, found.others) == ({}, ("cni0",), ("eth1", "vethd"))


def test_the_other_end_of_a_port_says_whose_it_is() -> None:
    assert by_peers({2: frozenset({A}), 3: frozenset({B}), 6: frozenset()}) == {
        "x/a": "vetha",
        "x/b": "vethb",
    }


def test_a_pod_that_takes_a_siblings_address_next_to_its_own_takes_nothing() -> None:
    assert by_peers({2: frozenset({A, B}), 3: frozenset({B})}) == {"x/a": "vetha", "x/b": "vethb"}


def test_a_pod_that_drops_its_own_address_for_a_siblings_takes_nothing() -> None:
    """Where nothing was known before, nobody is bound to the address; where it was, everything stays."""
    peers = {2: frozenset({B}), 3: frozenset({B})}
    assert by_peers(peers) == {}
    before = Attachments({"x/a": Attachment("vetha", "cni0"), "x/b": Attachment("vethb", "cni0")})
    assert by_peers(peers, before=before) == {"x/a": "vetha", "x/b": "vethb"}


def test_a_pod_that_was_there_first_keeps_its_port_from_a_newcomer() -> None:
    before = Attachments({"x/a": Attachment("vetha", "cni0")})
    assert by_peers({2: frozenset({A, B}), 3: frozenset({B})}, before=before) == {
        "x/a": "vetha",
        "x/b": "vethb",
    }


def test_two_pods_with_one_candidate_get_nothing() -> None:
    assert by_peers({2: frozenset({A, B})}) == {}


def test_a_pods_end_is_believed_about_its_hardware_address_once() -> None:
    """It may take a sibling's later; the plugin's result counts more, and a new interface is a new word."""

    def mac(said: int | None, before: Attachment | None, told: int | None = None) -> int | None:
        peers = {2: Peer(frozenset({A}), said)}
        pod = LocalPod("x/a", frozenset({A}), mac=told)
        known = Attachments({} if before is None else {"x/a": before})
        return attach((pod,), Network(LINKS, OVER_BRIDGE, peers), known).pods["x/a"].mac

    assert mac(7, None) == 7
    assert mac(8, Attachment("vetha", "cni0", 7)) == 7
    assert mac(8, Attachment("vetha", "cni0")) == 8
    assert mac(8, Attachment("vethold", "cni0", 7)) == 8
    assert mac(8, Attachment("vetha", "cni0", 7), told=9) == 9
    assert mac(None, Attachment("vetha", "cni0", 7)) == 7


def test_names_that_nft_cannot_be_given_are_no_interfaces() -> None:
    odd = Link(10, 'v"; }', "veth", master=1, peer=2, netns=3)
    pods = (LocalPod("x/a", frozenset({A}), (odd.name,)),)
    found = attach(pods, Network((BRIDGE, odd), {A: Way(1)}, {10: Peer(frozenset({A}), None)}), UNKNOWN)
    assert (interfaces(found), found.others) == ({}, ())
