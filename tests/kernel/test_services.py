"""Services, masquerading, IPVS: what is judged is the packet as it really goes, from whom and to whom."""

from __future__ import annotations

import pytest

from policyd_compiler.options import Options
from tests.cases.form import block, egress, ingress, pods, policy
from tests.kernel.ground import nft
from tests.kernel.scene import Scene

pytestmark = pytest.mark.kernel

DENY_ALL = policy("x", policyTypes=["Ingress", "Egress"], name="deny-all")
PORT_8080 = {"ports": [{"port": 8080}]}
CLIENT = [block("203.0.113.0/24"), block("2001:db8::7/128")]
NODE_1 = [block("192.0.2.1/32"), block("2001:db8:1::1/128")]


def proxy(scene: Scene, node: str, *rules: str) -> None:
    """Add rules of a service proxy to a node: `SERVICE tcp/PORT > BACKEND PORT`, or `masquerade MATCH`."""
    lines = [
        "add table inet proxy",
        "add chain inet proxy prerouting { type nat hook prerouting priority -100; }",
        "add chain inet proxy output { type nat hook output priority -100; }",
        "add chain inet proxy postrouting { type nat hook postrouting priority 100; }",
    ]
    for rule in rules:
        if rule.startswith("masquerade "):
            lines.append(f"add rule inet proxy postrouting {rule.removeprefix('masquerade ')} masquerade")
            continue
        service, port, _, backend, number = rule.split()
        for family, field in enumerate(("ip", "ip6")):
            address, target = scene.addresses[service][family], scene.addresses[backend][family]
            to = f"{target}:{number}" if family == 0 else f"[{target}]:{number}"
            match = f"{field} daddr {address} {port.replace('/', ' dport ')} dnat {field} to {to}"
            lines += [f"add rule inet proxy {chain} {match}" for chain in ("prerouting", "output")]
    nft(scene.lab.nodes[node], "\n".join(lines) + "\n")


@pytest.fixture
def services(scene: Scene) -> Scene:
    """The Service `svc` has b and `far` has d as its backend, on port 80 for their 8080; `self` has a."""
    scene.addresses |= {
        "svc": ("10.96.0.10", "fd00:10:96::a"),
        "far": ("10.96.0.11", "fd00:10:96::b"),
        "self": ("10.96.0.12", "fd00:10:96::c"),
    }
    rules = ["svc tcp/80 > b 8080", "far tcp/80 > d 8080", "self tcp/80 > a 8080"]
    # A pod that comes back to itself would take its own address for a forgery, so proxies masquerade that.
    a = scene.addresses["a"]
    rules += [f"masquerade ip saddr {a[0]} ip daddr {a[0]}", f"masquerade ip6 saddr {a[1]} ip6 daddr {a[1]}"]
    for node in scene.lab.nodes:
        proxy(scene, node, *rules)
    return scene


TRIES = ("a > svc tcp/80", "a > far tcp/80", "c > svc tcp/80", "n1 > svc tcp/80")


def test_a_service_is_judged_by_its_backend(services: Scene) -> None:
    """By the backend's labels and its own port, at both ends, on one node and over two (NP-130)."""
    assert services.results(*TRIES) == ["answered"] * 4
    services.enforce(
        DENY_ALL,
        ingress("x", "b", {"from": [pods(pod="a")], **PORT_8080}, name="b"),
        ingress("x", "d", {"from": [pods(pod="a")], **PORT_8080}, name="d"),
        egress("x", "a", {"to": [pods(pod="b"), pods(pod="d")], **PORT_8080}, name="a"),
    )
    assert services.results(*TRIES, "a > b tcp/80") == [
        "answered",
        "answered",
        "silent",
        "answered",
        "silent",
    ]


def test_rules_about_the_service_itself_match_nothing(services: Scene) -> None:
    """Neither its address nor its port is there any more where policies are judged (NP-131)."""
    blocks = [block("10.96.0.0/16"), block("fd00:10:96::/112")]
    services.enforce(egress("x", "a", {"to": blocks}, name="a"), ingress("x", "d", {"ports": [{"port": 80}]}))
    assert services.results(*TRIES) == ["silent", "silent", "answered", "answered"]


def test_a_pod_reaches_itself_through_its_service(services: Scene) -> None:
    """By default under any policy; as a setting it is judged like other traffic (NP-096)."""
    tries = ("a > self tcp/80", "b > self tcp/80")
    assert services.results(*tries) == ["answered", "answered"]
    services.enforce(DENY_ALL)
    assert services.results(*tries) == ["silent" if t.startswith("b") else "answered" for t in tries]
    evaluate = Options(hairpin="evaluate")
    services.enforce(DENY_ALL, options=evaluate)
    assert services.results(*tries) == ["silent", "silent"]
    itself = (
        ingress("x", "a", {"from": [pods(pod="a")]}, name="in"),
        egress("x", "a", {"to": [pods(pod="a")]}, name="out"),
    )
    services.enforce(DENY_ALL, *itself, options=evaluate)
    assert services.results(*tries) == ["answered", "silent"]


def test_a_node_port_shows_the_client(scene: Scene) -> None:
    """From outside, and from a pod through its own node: judged by the pod behind it (NP-135, NP-139)."""
    proxy(scene, "n1", "n1 tcp/30080 > b 8080")
    tries = ("outside > n1 tcp/30080", "a > n1 tcp/30080", "c > n1 tcp/30080", "d > n1 tcp/30080")
    assert scene.results(*tries) == ["answered"] * 4
    scene.enforce(ingress("x", "b", {"from": [*CLIENT, pods(pod="a")], **PORT_8080}))
    assert scene.results(*tries) == ["answered", "answered", "silent", "silent"]
    scene.enforce(ingress("x", "b", {"from": [*NODE_1, pods(pod="d")], **PORT_8080}))
    assert scene.results(*tries) == ["silent", "silent", "silent", "answered"]


def test_a_node_port_shows_the_client_although_the_pod_sees_the_node(scene: Scene) -> None:
    """`externalTrafficPolicy: Cluster` masquerades for a pod of the same node, too, behind the judgement."""
    proxy(scene, "n1", "n1 tcp/30080 > b 8080", "masquerade tcp dport 8080 ct status dnat")
    [outcome] = scene.outcomes("outside > n1 tcp/30080")
    assert "outside" not in outcome.seen_as
    scene.enforce(ingress("x", "b", {"from": CLIENT, **PORT_8080}))
    assert scene.results("outside > n1 tcp/30080") == ["answered"]
    scene.enforce(ingress("x", "b", {"from": NODE_1, **PORT_8080}))
    assert scene.results("outside > n1 tcp/30080") == ["silent"]


def test_a_host_port_shows_the_client(scene: Scene) -> None:
    """NP-138: the plugin `portmap` rewrites the destination alone. The node itself is not judged (NP-090)."""
    proxy(scene, "n1", "n1 tcp/9080 > b 8080")
    scene.enforce(ingress("x", "b", {"from": CLIENT, **PORT_8080}))
    tries = ("outside > n1 tcp/9080", "n2 > n1 tcp/9080", "n1 > n1 tcp/9080", "c > n1 tcp/9080")
    assert scene.results(*tries) == ["answered", "silent", "answered", "silent"]


def test_a_node_port_of_another_node_shows_that_node(scene: Scene) -> None:
    """Masqueraded on the first node, the client is no longer to be seen on the second (NP-136)."""
    proxy(scene, "n1", "n1 tcp/30080 > d 8080", "masquerade oifname eth0 tcp dport 8080 ct status dnat")
    tries = ("outside > n1 tcp/30080", "a > n1 tcp/30080")
    assert [outcome.seen_as for outcome in scene.outcomes(*tries)] == ["n1", "n1"]
    scene.enforce(ingress("x", "d", {"from": CLIENT}))
    assert scene.results(*tries) == ["silent", "silent"]
    scene.enforce(ingress("x", "d", {"from": NODE_1}))
    assert scene.results(*tries) == ["answered", "answered"]


def test_masquerading_comes_behind_the_judgement(scene: Scene) -> None:
    """The pod is judged as itself, whatever address the world sees."""
    proxy(scene, "n1", "masquerade oifname eth0")
    tries = ("a > outside tcp/80", "c > outside tcp/80", "a > d tcp/80")
    assert [outcome.seen_as for outcome in scene.outcomes(*tries)] == ["n1"] * 3
    scene.enforce(egress("x", "c", {"to": [pods(pod="d")]}))
    assert scene.results(*tries) == ["answered", "silent", "answered"]


def test_pods_behind_ipvs_are_judged_in_output(scene: Scene) -> None:
    """NP-140: IPVS sends a pod's packet from the node, with the pod's source: it is not the node's own."""
    tries = ["n1 as a > b tcp/80", "n1 as a > d tcp/80", "n1 as c > b tcp/80", "n1 as outside > b tcp/80"]
    tries += ["n1 > b tcp/80", "n1 > d tcp/80"]
    assert scene.arrives(*tries) == [True] * 6
    scene.enforce(
        egress("x", "a", {"to": [pods(pod="d")]}, name="a"), ingress("x", "b", {"from": CLIENT}, name="b")
    )
    assert scene.arrives(*tries) == [False, True, False, True, True, True]
