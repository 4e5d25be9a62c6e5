"""What the table guards beside policies, and how it lives with other tables."""

from __future__ import annotations

import re
import socket

import pytest

from policyd.lab.namespace import Namespace
from policyd_compiler.options import Options
from policyd_compiler.plan import plan
from tests.cases.form import block, egress, ingress, pods, policy
from tests.kernel.ground import nft
from tests.kernel.scene import Scene, watch
from tests.routes import compile_world

pytestmark = pytest.mark.kernel

DENY_ALL = policy("x", policyTypes=["Ingress", "Egress"], name="deny-all")


def test_a_pod_cannot_send_as_its_node(scene: Scene) -> None:
    """With the source of a probe it would pass every policy; not even without policies it goes anywhere."""
    # IPv4 drops such a packet before any hook where it is routed, unless told not to: here the rules must.
    scene.lab.nodes["n1"].set_sysctls({"net.ipv4.conf.all.accept_local": "1"})
    ways = [f"{target} {kind}" for target in ("b", "d", "outside") for kind in ("tcp/80", "udp/53", "icmp")]
    tries = [f"a as n1 > {way}" for way in ways]
    assert scene.arrives(*tries) == [True] * 9
    if scene.wiring == "bridged":
        tries += [f"a as bridge1 > {way}" for way in ways]
    anywhere = ingress("x", "b", {"from": [block("0.0.0.0/0"), block("::/0"), pods(pod="a")]})
    mute = egress("x", "a")
    for policies in ((), (DENY_ALL,), (ingress("x", "b", {}),), (anywhere,), (mute,), (mute, anywhere)):
        scene.enforce(*policies)
        assert scene.arrives(*tries) == [False] * len(tries)
    scene.enforce()
    # Another node's address is one like any other, except on that node.
    others = [f"a as n2 > {target} tcp/80" for target in ("b", "d", "outside")]
    assert scene.arrives(*others) == [True, False, True]


def test_an_unknown_pod_neither_sends_nor_receives(scene: Scene) -> None:
    """It does once it is known; its node reaches it all the time, and known pods notice nothing."""
    scene.add_pod("u")
    around = ["a", "d", "outside", "n1"]
    sends = [f"u > {name} tcp/80" for name in around] + ["u > a udp/53"]
    receives = [f"{name} > u tcp/80" for name in around] + ["a > u udp/53"]
    others = ["a > b tcp/80", "a > outside udp/53", "d > a tcp/80", "a > n1 tcp/80", "n1 > u tcp/80"]
    options = Options(pod_interfaces=scene.pod_interfaces)
    closed = ["silent"] * 3 + ["answered"] + ["silent"]
    scene.enforce(options=options, without=("u",))
    assert scene.results(*sends) == ["silent"] * 5
    assert scene.results(*receives, *others) == closed + ["answered"] * 5
    scene.enforce(ingress("x", "b", {"from": [pods(pod="a")]}), options=options, without=("u",))
    assert scene.results(*sends) == ["silent"] * 5
    assert scene.results(*receives, *others) == closed + ["answered"] * 5
    scene.enforce(options=options)
    assert scene.results(*sends, *receives, *others) == ["answered"] * 15


def test_without_pod_interfaces_unknown_pods_are_open(scene: Scene) -> None:
    scene.add_pod("u")
    scene.enforce(ingress("x", "b", {"from": [pods(pod="a")]}), without=("u",))
    tries = ["u > a tcp/80", "d > u tcp/80", "u > b tcp/80"]
    assert scene.results(*tries) == ["answered", "answered", "silent"]


@pytest.mark.parametrize("scene", ["bridged"], indirect=True)
def test_multicast_between_known_pods_passes_the_guard(scene: Scene) -> None:
    """Its destination is no pod's address, and it leaves by a pod's interface all the same."""
    scene.addresses["everybody"] = ("224.0.0.251", "ff02::fb")
    scene.enforce(options=Options(pod_interfaces=scene.pod_interfaces))
    assert scene.arrives("a > everybody udp/53 at b") == [True]
    scene.enforce(egress("x", "a", {"to": [pods(pod="b")]}))
    assert scene.arrives("a > everybody udp/53 at b", "c > everybody udp/53 at b") == [False, True]


def test_an_unknown_pod_still_finds_its_neighbours(scene: Scene) -> None:
    """Else its own link would be broken when it is known a moment later."""
    scene.add_pod("u")
    scene.enforce(DENY_ALL, options=Options(pod_interfaces=scene.pod_interfaces), without=("u",))
    scene.place("u").ip(["neigh flush all"])
    scene.place("n1").ip(["neigh flush all"])
    assert scene.results("n1 > u tcp/80", seconds=5) == ["answered"]
    assert scene.arrives("u > n1 nd") == [True]


@pytest.mark.parametrize("scene", ["bridged"], indirect=True)
@pytest.mark.parametrize("source", ["b", "u"], ids=["known", "unknown"])
def test_link_local_addresses_are_no_way_around_a_policy(scene: Scene, source: str) -> None:
    """Every pod on a bridge has one, and needs no privilege to use it."""
    scene.add_pod("u")
    options = Options(pod_interfaces=scene.pod_interfaces)
    scene.enforce(DENY_ALL, options=options, without=("u",))
    place = scene.place("a")
    listing = place.run(["ip", "-6", "-oneline", "addr", "show", "dev", "eth0", "scope", "link"]).stdout
    address = listing.split()[3].partition("/")[0]
    with place.entered():
        server = socket.create_server(("::", 8888), family=socket.AF_INET6)
    with scene.place(source).entered():
        client = socket.socket(socket.AF_INET6)
        index = socket.if_nametoindex("eth0")
    with server, client:
        client.settimeout(1.2)
        assert client.connect_ex((address, 8888, 0, index)) != 0


def test_an_accept_elsewhere_does_not_override_a_drop(scene: Scene) -> None:
    """Base chains are independent, before and behind ours."""
    scene.enforce(DENY_ALL)
    for number, priority in enumerate((-300, -11, -9, 0, 100)):
        lines = [f"add table inet foreign{number}"]
        for hook in ("forward", "input", "output"):
            chain = f"inet foreign{number} {hook}"
            lines.append(
                f"add chain {chain} {{ type filter hook {hook} priority {priority}; policy accept; }}"
            )
            lines.append(f"add rule {chain} counter accept")
        for node in scene.lab.nodes.values():
            nft(node, "\n".join(lines) + "\n")
    tries = ("a > b tcp/80", "a > d tcp/80", "a > n1 tcp/80", "d > a udp/53", "n1 > a tcp/80")
    assert scene.results(*tries) == ["silent"] * 4 + ["answered"]


FOREIGN = """\\
add table inet kube-proxy
add set inet kube-proxy addresses { type ipv4_addr; flags interval; elements = { 10.96.0.0/16 } }
add map inet kube-proxy services { type ipv4_addr . inet_proto . inet_service : verdict; }
add chain inet kube-proxy forward { type filter hook forward priority 0; policy accept; }
add rule inet kube-proxy forward ip daddr @addresses ct mark 0x4000 drop
add table ip filter
add chain ip filter INPUT { type filter hook input priority 0; policy accept; }
add table inet policyd-of-somebody-else
add chain inet policyd-of-somebody-else policyd
"""


def listing(node: Namespace) -> str:
    """Every table but ours."""
    text = node.run(["nft", "list", "ruleset"]).stdout
    return re.sub(r"(?ms)^table inet policyd \{.*?^\}\n", "", text)


def test_other_tables_are_untouched(scene: Scene) -> None:
    """Whatever is done to ours: first apply, every step of a change, replacement, removal."""
    node = scene.lab.nodes["n1"]
    nft(node, FOREIGN)
    before = listing(node)
    assert before.count("table ") == 3
    first, second = (
        compile_world([*scene.cluster(), *policies], "n1").table
        for policies in ((DENY_ALL,), (ingress("x", "a", {"from": [pods(pod="b")]}),))
    )
    for actual, desired in ((None, first), (first, second), (second, first), (None, second)):
        for step in plan(actual, desired).steps:
            nft(node, step.script)
            assert listing(node) == before
    nft(node, "delete table inet policyd\n")
    assert node.run(["nft", "list", "ruleset"]).stdout == before


def test_no_mark_is_set(scene: Scene) -> None:
    """Packet and connection marks belong to others: Calico, Cilium, kube-proxy, Istio."""
    # Packets of the kernel itself (ICMPv6, IGMP) may carry any mark.
    hooks = ("forward", "input", "output", "postrouting")
    ours = "meta l4proto { 6, 17 }"
    marked = [watch(scene.place("n1"), hook, f"{ours} meta mark != 0") for hook in hooks]
    marked += [watch(scene.place("n1"), hook, "ct mark != 0") for hook in hooks]
    seen = watch(scene.place("n1"), "postrouting", "ct mark 0 meta mark 0")
    scene.enforce(
        ingress("x", "a", {"from": [pods(pod="b")]}), options=Options(pod_interfaces=scene.pod_interfaces)
    )
    tries = ("b > a tcp/80", "c > a tcp/80", "a > n1 tcp/80", "n1 > a tcp/80", "a > outside udp/53")
    assert scene.results(*tries) == ["answered", "silent", "answered", "answered", "answered"]
    assert seen() > 0
    assert [read() for read in marked] == [0] * 8
