"""Connections under policies, with real packets: replies, errors, the link, fragments, nodes, conntrack."""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack

import pytest

from policyd_compiler.options import Options
from tests.cases.form import block, egress, ingress, pods, policy
from tests.kernel.ground import nft
from tests.kernel.scene import Scene, dial, echoes, watch
from tests.lab.packets import ACK, FIN, SYN
from tests.support.waiting import until

pytestmark = pytest.mark.kernel

DENY_ALL = policy("x", policyTypes=["Ingress", "Egress"], name="deny-all")
TCP_80 = {"ports": [{"port": 80}]}
UDP_53 = {"ports": [{"protocol": "UDP", "port": 53}]}


def test_replies_need_no_rule(scene: Scene) -> None:
    """An accepted connection's replies pass though both ends may not open one themselves."""
    scene.enforce(
        DENY_ALL,
        ingress("x", "a", {"from": [pods(pod="b"), pods(pod="d")]}, name="in"),
        egress("x", "b", {"to": [pods(pod="a")]}, name="out-b"),
        egress("x", "d", {"to": [pods(pod="a")]}, name="out-d"),
    )
    tries = ["b > a tcp/80", "d > a tcp/80", "b > a udp/53", "a > b tcp/80", "a > d udp/53", "c > a tcp/80"]
    assert scene.results(*tries) == ["answered"] * 3 + ["silent"] * 3


def test_errors_about_an_accepted_connection_pass(scene: Scene) -> None:
    """Port unreachable comes back to a pod that nobody may connect to, from one that may not send."""
    scene.enforce(
        DENY_ALL,
        egress("x", "a", {"to": [pods(pod="b"), pods(pod="d")]}, name="out"),
        ingress("x", "b", {}, name="in-b"),
        ingress("x", "d", {}, name="in-d"),
    )
    tries = ["a > b udp/99", "a > d udp/99", "a > b tcp/99", "b > a udp/99"]
    assert scene.results(*tries) == ["refused", "refused", "refused", "silent"]


@pytest.mark.parametrize("family", [0, 1])
def test_a_smaller_mtu_on_the_way_is_learnt(scene: Scene, family: int) -> None:
    """Packet too big, from a router that no policy knows, reaches a pod that nobody may connect to."""
    scene.lab.outside.ip(["link set node2 mtu 1400"])
    scene.lab.nodes["n2"].ip(["link set eth0 mtu 1400"])
    scene.enforce(
        DENY_ALL, egress("x", "a", {"to": [pods(pod="d")]}, name="out"), ingress("x", "d", {}, name="in")
    )
    with dial(scene.place("a"), scene.addresses["d"][family], 53) as client:
        level, discover = (socket.IPPROTO_IP, 10) if family == 0 else (socket.IPPROTO_IPV6, 23)
        client.setsockopt(level, discover, 2)  # IP_MTU_DISCOVER, IP_PMTUDISC_DO: never fragment
        client.send(bytes(1440))
        with pytest.raises(OSError, match="Message too long") as refusal:
            client.recv(2048)
        assert refusal.value.errno == errno.EMSGSIZE
        client.send(bytes(1200))
        assert len(client.recv(2048)) > 1200


@pytest.mark.parametrize("flags", [ACK, FIN | ACK, SYN | FIN], ids=["ack", "fin", "nonsense"])
def test_strays_pass_exactly_if_policies_allow_them_both_ways(scene: Scene, flags: int) -> None:
    """A packet of no connection passes if it would as the first, and with both ends exchanged, too."""
    to_c = [f"{source} > c tcp/80" for source in ("a", "b", "d", "outside", "n1", "n2")]
    to_a = [f"{source} > a tcp/80" for source in ("b", "d", "outside", "n2")]
    from_a = [f"a > {target} tcp/80" for target in ("b", "d", "outside", "n1")]
    everything = [*to_c, *to_a, *from_a, "n1 > a tcp/80"]
    assert all(scene.arrives(*everything, flags=flags))
    allow_all = policy("x", "a", ingress=[{}], egress=[{}], policyTypes=["Ingress", "Egress"])
    scene.enforce(allow_all)
    assert all(scene.arrives(*everything, flags=flags))
    # What comes to the open port passes; what leaves from another would be answered at one that is closed.
    scene.enforce(ingress("x", "a", {"ports": [{"port": 80}]}))
    assert scene.arrives(*to_c, *to_a, flags=flags) == [False] + [True] * 9
    # To its own node a pod answers whatever it was asked: the node always reaches it.
    assert scene.arrives(*from_a, "n1 > a tcp/80", flags=flags) == [False, False, False, True, True]
    # What the node sends may answer the pod, whose egress is closed.
    scene.enforce(policy("x", "a", policyTypes=["Egress"]))
    assert scene.arrives(*to_a, *from_a, "n1 > a tcp/80", flags=flags) == [False] * 9
    assert scene.arrives(*to_a, "n1 > a tcp/80") == [True] * 5


def test_neighbours_are_found_under_deny_all(scene: Scene) -> None:
    """From empty neighbour tables, over a bridge whose IPv6 packets pass the hook forward, too."""
    scene.enforce(
        DENY_ALL,
        ingress("x", "a", {"from": [pods(pod="b")]}),
        egress("x", "b", {"to": [pods(pod="a")]}, name="q"),
    )
    for name in ("a", "b", "n1"):
        scene.place(name).ip(["neigh flush all"])
    assert scene.results("b > a tcp/80", "b > a udp/53", "n1 > a tcp/80", seconds=5) == ["answered"] * 3
    # From beyond the link nobody asks so: a router leaves less than 255 of the hop limit (NP-164).
    assert scene.arrives("a > n1 nd") == [True]
    if scene.wiring == "bridged":
        assert scene.arrives("b > a nd") == [True]
    assert scene.arrives("outside > a nd", "a > d nd") == [False] * 2


@pytest.mark.parametrize("scene", ["bridged"], indirect=True)
def test_multicast_listeners_are_known_under_deny_all(scene: Scene) -> None:
    scene.enforce(DENY_ALL)
    heard = watch(scene.place("b"), "prerouting", "icmpv6 type mld2-listener-report ip6 saddr fe80::/10")
    with scene.place("a").entered():
        listener = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        index = socket.if_nametoindex("eth0").to_bytes(4, "little")
    with listener:
        group = socket.inet_pton(socket.AF_INET6, "ff02::4242")
        before = heard()
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group + index)
        until(lambda: heard() > before)


@pytest.mark.parametrize("family", [0, 1])
@pytest.mark.parametrize("target", ["b", "d"])
def test_fragments_are_judged_as_one_packet(scene: Scene, family: int, target: str) -> None:
    """Later fragments carry no port: they go where the first one goes, both ways."""
    scene.enforce(ingress("x", target, {"from": [pods(pod="a")], **UDP_53}))
    address = scene.addresses[target][family]
    with dial(scene.place("a"), address, 53) as client:
        client.send(bytes(4000))
        assert len(client.recv(8192)) > 4000
    arrived = watch(scene.place(target), "prerouting", "meta l4proto 17")
    with dial(scene.place("a"), address, 54) as client:
        client.settimeout(0.3)
        client.send(bytes(4000))
        with pytest.raises(TimeoutError):
            client.recv(8192)
    assert arrived() == 0


def test_a_node_reaches_its_own_pods_and_no_others(scene: Scene) -> None:
    """As the kubelet's probes do: under any policy. Another node's process is an address like any other."""
    scene.enforce(DENY_ALL)
    tries = [
        "n1 > a tcp/80",
        "n1 > b udp/53",
        "n2 > d tcp/80",
        "n2 > a tcp/80",
        "n1 > d udp/53",
        "a > n1 tcp/80",
    ]
    assert scene.results(*tries) == ["answered"] * 3 + ["silent"] * 3
    [outcome] = scene.outcomes("n1 > a tcp/80")
    assert outcome.seen_as == ("n1" if scene.wiring == "routed" else "bridge1")
    nodes = {"from": [block("192.0.2.2/32"), block("2001:db8:1::2/128")]}
    scene.enforce(DENY_ALL, ingress("x", "a", nodes, name="from-n2"))
    assert scene.results("n2 > a tcp/80", "n2 > b tcp/80", "d > a tcp/80") == ["answered", "silent", "silent"]


@pytest.mark.parametrize("family", [0, 1])
def test_a_connection_whose_entry_is_deleted_comes_back_exactly_if_it_is_allowed(
    scene: Scene, family: int
) -> None:
    """Denied, neither by the client's next packet nor by the server's; allowed, at once (NP-165)."""
    address = scene.addresses["a"][family]
    allowed = ingress("x", "a", {"from": [pods(pod="b"), pods(pod="d")]})
    for source in ("b", "d"):
        scene.enforce(allowed)
        with dial(scene.place(source), address, 80, "tcp") as client:
            assert echoes(client)
            scene.forget()
            assert echoes(client, 5)
            scene.enforce(ingress("x", "a", {"from": [pods(pod="c")]}))
            scene.forget()
            assert not echoes(client, 0.7)
            assert not echoes(client, 0.7)
            scene.enforce(allowed)
            assert echoes(client, 5)


def test_a_connection_lives_on_when_a_policy_denies_it(scene: Scene) -> None:
    """Until its entry is deleted, which is the agent's to decide (decisions 3)."""
    scene.enforce()
    with ExitStack() as stack:
        clients = [
            stack.enter_context(dial(scene.place("b"), address, port, transport))
            for address in scene.addresses["a"]
            for transport, port in (("tcp", 80), ("udp", 53))
        ]
        assert [echoes(client) for client in clients] == [True] * 4
        scene.enforce(DENY_ALL)
        assert [echoes(client) for client in clients] == [True] * 4
        scene.forget()
        assert [echoes(client, 0.3) for client in clients] == [False] * 4


@pytest.mark.parametrize("family", [0, 1])
def test_a_forgotten_udp_flow_is_judged_again(scene: Scene, family: int) -> None:
    """NP-126: after its timeout the server may not speak first, and the client may again."""
    scene.enforce(DENY_ALL, ingress("x", "a", {}, name="in"), egress("x", "b", {}, name="out"))
    scene.lab.nodes["n1"].set_sysctls(
        {"net.netfilter.nf_conntrack_udp_timeout": "1", "net.netfilter.nf_conntrack_udp_timeout_stream": "1"}
    )
    ends = scene.addresses["a"][family], scene.addresses["b"][family]
    with scene.place("a").entered():
        server = socket.socket(socket.AF_INET6 if family else socket.AF_INET, socket.SOCK_DGRAM)
    with server, dial(scene.place("b"), ends[0], 9999) as client:
        server.settimeout(2)
        client.settimeout(0.3)
        server.bind((ends[0], 9999))
        client.send(b"hello")
        _, peer = server.recvfrom(100)
        server.sendto(b"hello", peer)
        assert client.recv(100) == b"hello"
        until(lambda: connections(scene) == 0)
        server.sendto(b"again", peer)
        with pytest.raises(TimeoutError):
            client.recv(100)
        client.send(b"again")
        assert server.recv(100) == b"again"


def connections(scene: Scene) -> int:
    return len(scene.lab.nodes["n1"].run(["conntrack", "-L", "-p", "udp", "--orig-port-dst", "9999"]).stdout)


def test_rejections_are_reported_to_the_sender(scene: Scene) -> None:
    """`deny: reject`, for debugging: the sender hears at once, in both directions and from either node."""
    scene.enforce(DENY_ALL, egress("x", "b", {}, name="out"), options=Options(deny="reject"))
    tries = ["b > a tcp/80", "b > a udp/53", "b > d tcp/80", "a > b tcp/80", "a > n1 udp/53", "n2 > a tcp/80"]
    assert scene.results(*tries, seconds=5) == ["unreachable"] * 6


def test_untracked_packets_are_judged_one_by_one(scene: Scene) -> None:
    """NP-141: as those of a node-local DNS cache, which its own rules exempt from connection tracking."""
    scene.lab.add_address("n1", "169.254.20.10")
    scene.lab.add_address("n1", "fd00:a9fe::10")
    scene.addresses["dns"] = ("169.254.20.10", "fd00:a9fe::10")
    for address in scene.addresses["dns"]:
        scene.lab.servers.listen(scene.lab.nodes["n1"], "udp", address, 53)
    nft(scene.lab.nodes["n1"], NOTRACK)
    assert scene.results("a > dns udp/53") == ["answered"]
    scene.enforce(DENY_ALL)
    assert scene.results("a > dns udp/53") == ["silent"]
    cache = {"to": [block("169.254.20.10/32"), block("fd00:a9fe::10/128")], **UDP_53}
    scene.enforce(DENY_ALL, egress("x", "a", cache, name="dns"))
    assert scene.results("a > dns udp/53", "b > dns udp/53") == ["answered", "silent"]


NOTRACK = """\
add table inet cache
add chain inet cache prerouting { type filter hook prerouting priority -300; }
add chain inet cache output { type filter hook output priority -300; }
add rule inet cache prerouting udp dport 53 notrack
add rule inet cache output udp sport 53 notrack
"""
