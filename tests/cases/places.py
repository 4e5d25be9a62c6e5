"""Nodes, the host's network, a pod and itself, and who owns an address (semantics 1.7, 1.8)."""

from __future__ import annotations

from tests.cases.form import block, case, egress, ingress, namespaces, pod, pods, policy
from tests.oracle import Manifest

OUTSIDE = "ext:203.0.113.7"
LATER = {"startTime": "2026-01-02T00:00:00Z"}
SHARED = ("10.244.5.5", "fd00:10:244:5::5")


def isolate(name: str) -> Manifest:
    return ingress("y", name, name=f"isolate-{name}")


def disputed(number: str, first: Manifest, second: Manifest) -> Manifest:
    """Write the case that y/win and y/lose claim one address: the labels of y/win alone count."""
    allowing = ingress("x", "a", {"from": [{**namespaces(team="green"), **pods(pod="win")}]}, name="from-win")
    denying = ingress(
        "x", "b", {"from": [{**namespaces(team="green"), **pods(pod="lose")}]}, name="from-lose"
    )
    return case(
        number, first, second, allowing, denying, isolate("lose"),
        allow=["y/win > x/a TCP/80", "y/lose > x/a TCP/80", "x/c > y/win TCP/80", "x/c > y/lose TCP/80"],
        deny=["y/win > x/b TCP/80", "y/lose > x/b TCP/80"],
    )  # fmt: skip


NODES = (
    case(
        "NP-090",
        policy("x", policyTypes=["Ingress", "Egress"]),
        allow=["node:n1 > x/a TCP/80", "node:n1 > x/a ICMP", "z/host > x/a TCP/80", "node:n2 > x/b UDP/53"],
        deny=["node:n2 > x/a TCP/80", "node:n1 > x/b TCP/80", "z/host > x/b TCP/80", "node:n2 > x/a ICMP"],
    ),
    case(
        "NP-091-ipblock",
        egress("x", "a", {"to": [block("192.0.2.1/32")], "ports": [{"port": 22}]}),
        egress("x", "b", {}, name="q"),
        allow=["x/a > node:n1 TCP/22", "x/a > z/host TCP/22", "x/b > node:n2 TCP/22", "x/b > node:n1 TCP/22"],
        deny=["x/a > node:n2 TCP/22", "x/a > node:n1 TCP/23", "x/a > node:n1 TCP/22 v6"],
    ),
    case(
        "NP-093",
        ingress("x", "b", {"from": [{**namespaces(), **pods(pod="host")}]}),
        egress("x", "c", {"to": [{**namespaces(), **pods(pod="host")}]}, name="q"),
        deny=["z/host > x/b TCP/80", "node:n1 > x/b TCP/80", "x/c > z/host TCP/80", "z/dup > x/b TCP/80"],
    ),
    case(
        "NP-144",
        pod("z/host2", "192.0.2.1", "2001:db8:1::1", spec={"hostNetwork": True}),
        policy("z", policyTypes=["Ingress", "Egress"]),
        ingress("x", "b", {"from": [block("192.0.2.1/32")]}),
        allow=["z/host2 > x/b TCP/80", "z/host > x/b TCP/80", "y/a > z/host2 TCP/80", "z/host2 > y/a TCP/80",
               "z/host2 > z/dup TCP/80"],
        deny=["y/a > z/dup TCP/80"],
    ),
    case(
        "NP-147",
        policy("z", "host", policyTypes=["Ingress", "Egress"]),
        allow=["node:n1 > x/b TCP/80", "x/b > node:n1 TCP/22", "y/a > z/host ICMP",
               f"{OUTSIDE} > node:n1 TCP/22"],
    ),
    case(
        "NP-095-localhost",
        policy("x", "a", policyTypes=["Ingress", "Egress"]),
        allow=["x/a > x/a TCP/80", "x/a > x/a ICMP", "x/a > x/a TCP/80 hairpin"],
        deny=["x/a > x/b TCP/80"],
    ),
)  # fmt: skip

LIFECYCLE = (
    case(
        "NP-101-peer",
        ingress("x", "a", {"from": [
            {**namespaces(), **pods(pod="done")}, {**namespaces(), **pods(pod="fail")},
        ]}),
        ingress("x", "b", {"from": [{**namespaces(), **pods(pod="new")}]}, name="q"),
        allow=["z/new > x/b TCP/80", "z/done > x/b TCP/80"],
        deny=["z/new > x/a TCP/80", "z/old > x/a TCP/80"],
    ),
    case(
        "NP-104",
        policy("z", "pend", policyTypes=["Ingress", "Egress"]),
        ingress("x", "b", {"from": [{**namespaces(), **pods(pod="pend")}]}, name="q"),
        allow=["y/a > z/dup TCP/80"],
        deny=["x/a > z/pend TCP/80", "z/pend > x/b TCP/80", "z/dup > x/b TCP/80"],
    ),
    case(
        "NP-106",
        ingress("x", "a", {"from": [pods(pod="b")]}),
        allow=["x/b > x/a TCP/80 v4", "x/b > x/a TCP/80 v6"],
        deny=["x/c > x/a TCP/80 v4", "x/c > x/a TCP/80 v6"],
    ),
    case(
        "NP-106-podip",
        pod("y/old-server", status={"podIP": "10.244.2.30"}),
        pod("y/six", "fd00:10:244:2::1e"),
        ingress("y", "old-server", {"from": [pods(pod="b")]}),
        ingress("y", "six", {"from": [pods(pod="b")]}, name="q"),
        allow=["y/b > y/old-server TCP/80 v4", "y/b > y/six TCP/80 v6"],
        deny=["y/a > y/old-server TCP/80 v4", "y/a > y/six TCP/80 v6"],
    ),
    disputed(
        "NP-110-deleting",
        pod("y/win", *SHARED, node="n2"),
        pod("y/lose", *SHARED, metadata={"deletionTimestamp": "2026-02-01T00:00:00Z"}, status=LATER),
    ),
    disputed("NP-110-started", pod("y/lose", *SHARED), pod("y/win", *SHARED, node="n2", status=LATER)),
    disputed(
        "NP-110-created",
        pod("y/win", *SHARED, metadata={"creationTimestamp": "2026-01-05T00:00:00Z"},
            status={"startTime": None}),
        pod("y/lose", *SHARED, status=LATER),
    ),
    disputed(
        "NP-110-uid",
        pod("y/lose", *SHARED, metadata={"uid": "0a"}),
        pod("y/win", *SHARED, metadata={"uid": "0b"}),
    ),
    case(
        "NP-110-family",
        pod("y/both", *SHARED, status=LATER),
        pod("y/six", "10.244.5.6", SHARED[1], status={"startTime": "2026-01-03T00:00:00Z"}),
        isolate("both"),
        allow=["x/a > y/six TCP/80 v4", "x/a > y/six TCP/80 v6", "x/a > y/both TCP/80 v6"],
        deny=["x/a > y/both TCP/80 v4"],
    ),
    case(
        "NP-112",
        pod("x/static", "10.244.1.40", "fd00:10:244:1::28", metadata={
            "annotations": {"kubernetes.io/config.mirror": "0", "kubernetes.io/config.source": "file"},
        }),
        ingress("x", "static", {"from": [pods(pod="a")]}),
        allow=["x/a > x/static TCP/80"],
        deny=["x/b > x/static TCP/80"],
    ),
    case(
        "NP-116",
        pod("x/abroad", "198.18.0.9", "2001:db8:99::9"),
        ingress("x", "abroad", {"from": [pods(pod="a")]}),
        ingress("x", "a", {"from": [pods(pod="abroad")]}, name="q"),
        allow=["x/a > x/abroad TCP/80", "x/abroad > x/a TCP/80"],
        deny=["x/b > x/abroad TCP/80", "x/b > x/a TCP/80"],
    ),
)  # fmt: skip
