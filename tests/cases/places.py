"""Nodes, the host's network, a pod and itself, and who owns an address (semantics 1.7, 1.8)."""

from __future__ import annotations

from typing import Any

from tests.cases.form import (
    block,
    case,
    egress,
    ingress,
    namespace,
    namespaces,
    pod,
    pods,
    policy,
    requirement,
)
from tests.oracle import Manifest

OUTSIDE = "ext:203.0.113.7"
LATER = {"startTime": "2026-01-02T00:00:00Z"}
SHARED = ("10.244.5.5", "fd00:10:244:5::5")


def isolate(name: str) -> Manifest:
    return ingress("y", name, name=f"isolate-{name}")


def claimed(
    number: str,
    *objects: Manifest,
    first: Manifest | None = None,
    second: Manifest | None = None,
    **probes: Any,
) -> Manifest:
    """Write a case in which y/first on n1 and y/second on n2 claim one address in each family (NP-166)."""
    claimants = (first or pod("y/first", *SHARED), second or pod("y/second", *SHARED, node="n2"))
    return case(number, *claimants, *objects, **probes)


def anywhere(*names: str) -> Manifest:
    """Write one entry that selects pods of these names in all namespaces."""
    return {**namespaces(), **pods(requirement("pod", "In", *names))}


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

CLAIMED = (
    claimed(
        "NP-166-subject", isolate("second"),
        allow=["x/a > y/b TCP/80"],
        deny=["x/a > y/first TCP/80", "x/a > y/second TCP/80", "x/a > y/second ICMP"],
    ),
    claimed(
        "NP-166-older-and-deleting", isolate("first"),
        first=pod("y/first", *SHARED, metadata={"deletionTimestamp": "2026-02-01T00:00:00Z"}),
        second=pod("y/second", *SHARED, node="n2", status=LATER),
        deny=["x/a > y/first TCP/80", "x/a > y/second TCP/80"],
    ),
    claimed(
        "NP-166-ended-pods-claim-nothing", isolate("first"),
        first=pod("y/first", *SHARED, status={"phase": "Failed"}),
        allow=["x/a > y/second TCP/80"],
    ),
    claimed(
        "NP-166-subject-only-what-each-allows",
        ingress("y", "first", {"from": [anywhere("a", "b")], "ports": [{"port": 80}, {"port": 81}]}),
        ingress("y", "second", {"from": [anywhere("b", "c")], "ports": [{"port": 81, "endPort": 82}]},
                name="q"),
        allow=["x/b > y/first TCP/81", "x/b > y/second TCP/81"],
        deny=["x/a > y/first TCP/81", "x/c > y/second TCP/81", "x/b > y/first TCP/80",
              "x/b > y/second TCP/82", "x/b > y/first ICMP"],
    ),
    claimed(
        "NP-166-subject-egress",
        egress("y", "first", {"to": [block("10.244.1.0/24")]}),
        egress("y", "second", {"to": [block("10.244.1.10/32")]}, name="q"),
        allow=["y/first > x/a TCP/80", "y/second > x/a ICMP"],
        deny=["y/first > x/b TCP/80", "y/second > x/b TCP/80", "y/first > y/b TCP/80"],
    ),
    claimed(
        "NP-166-subject-directions-apart",
        ingress("y", "first", {"from": [anywhere("a")]}),
        egress("y", "second", {"to": [anywhere("b")]}, name="q"),
        allow=["x/a > y/first TCP/80", "y/first > x/b TCP/80"],
        deny=["x/b > y/second TCP/80", "y/second > x/a TCP/80"],
    ),
    claimed(
        "NP-166-subject-named-ports",
        ingress("y", None, {"ports": [{"port": "http"}, {"port": 82}]}),
        first=pod("y/first", *SHARED, ports=[
            {"name": "http", "containerPort": 80}, {"name": "admin", "containerPort": 81},
        ]),
        second=pod("y/second", *SHARED, node="n2", ports=[{"name": "http", "containerPort": 81}]),
        allow=["x/a > y/first TCP/82"],
        deny=["x/a > y/first TCP/80", "x/a > y/second TCP/81"],
    ),
    claimed(
        "NP-166-peer",
        ingress("x", "a", {"from": [anywhere("first")]}),
        ingress("x", "b", {"from": [anywhere("second")]}, name="q"),
        deny=["y/first > x/a TCP/80", "y/second > x/a TCP/80", "y/first > x/b TCP/80",
              "y/second > x/b TCP/80"],
    ),
    claimed(
        "NP-166-peer-in-one-entry",
        ingress("x", "a", {"from": [anywhere("first", "second")]}),
        egress("x", "b", {"to": [anywhere("first", "second")]}, name="q"),
        allow=["y/first > x/a TCP/80", "y/second > x/a TCP/80", "x/b > y/first TCP/80"],
    ),
    claimed(
        "NP-166-peer-in-two-entries",
        ingress("x", "a", {"from": [anywhere("first"), anywhere("second")]}),
        ingress("x", "b", {"from": [anywhere("first")]}, {"from": [anywhere("second")]}, name="q"),
        egress("x", "c", {"to": [anywhere("first")]}, name="r"),
        egress("x", "c", {"to": [anywhere("second")]}, name="s"),
        deny=["y/first > x/a TCP/80", "y/second > x/b TCP/80", "x/c > y/first TCP/80"],
    ),
    claimed(
        "NP-166-peer-by-address",
        ingress("x", "a", {"from": [block("10.244.5.5/32")]}),
        ingress("x", "b", {}, name="q"),
        allow=["y/first > x/a TCP/80", "y/second > x/b TCP/80"],
    ),
    claimed(
        "NP-166-peer-named-port",
        egress("x", "a", {
            "to": [anywhere("first", "second")], "ports": [{"port": "http"}, {"port": "admin"}],
        }),
        first=pod("y/first", *SHARED, ports=[
            {"name": "http", "containerPort": 80}, {"name": "admin", "containerPort": 81},
        ]),
        second=pod("y/second", *SHARED, node="n2", ports=[
            {"name": "http", "containerPort": 80}, {"name": "admin", "containerPort": 82},
        ]),
        allow=["x/a > y/first TCP/80"],
        deny=["x/a > y/first TCP/81", "x/a > y/second TCP/82"],
    ),
    claimed(
        "NP-166-other-namespaces",
        policy("x", "first", policyTypes=["Ingress"]),
        first=pod("x/first", *SHARED),
        allow=["y/a > y/b TCP/80"],
        deny=["y/a > x/first TCP/80", "y/a > y/second TCP/80"],
    ),
    case(
        "NP-166-one-family",
        pod("y/both", *SHARED),
        pod("y/six", "10.244.5.6", SHARED[1], node="n2"),
        isolate("both"),
        allow=["x/a > y/six TCP/80 v4"],
        deny=["x/a > y/six TCP/80 v6", "x/a > y/both TCP/80 v6", "x/a > y/both TCP/80 v4"],
    ),
    case(
        "NP-166-three",
        pod("y/one", *SHARED),
        pod("y/two", *SHARED, node="n2"),
        pod("y/three", SHARED[0], "fd00:10:244:5::6", node="n2"),
        ingress("x", "a", {"from": [anywhere("one", "two")]}),
        ingress("x", "b", {"from": [anywhere("one", "two", "three")]}, name="q"),
        isolate("three"),
        allow=["y/one > x/a TCP/80 v6", "y/one > x/b TCP/80 v4", "y/three > x/b TCP/80 v6",
               "x/c > y/two TCP/80 v6"],
        deny=["y/one > x/a TCP/80 v4", "y/three > x/a TCP/80 v6", "x/c > y/one TCP/80 v4"],
    ),
)  # fmt: skip


def impossible(number: str, four: str, six: str) -> Manifest:
    """Write the case that a pod claims addresses that no pod can have: it is no subject and no peer."""
    return case(
        number, pod("y/odd", four, six), isolate("odd"), ingress("x", "a", {"from": [anywhere("odd", "b")]}),
        allow=["x/c > y/odd TCP/80", "x/b > x/a TCP/80"],
        deny=["y/odd > x/a TCP/80"],
    )  # fmt: skip


#: No network has these addresses where the pods say.
IMPOSSIBLE = (
    impossible("NP-167-loopback", "127.0.0.1", "::1"),
    impossible("NP-167-loopback-block", "127.255.0.9", "::1"),
    impossible("NP-167-unspecified", "0.0.0.0", "::"),
    impossible("NP-167-multicast", "224.0.0.1", "ff02::1"),
    impossible("NP-167-broadcast", "255.255.255.255", "ff05::2"),
    impossible("NP-167-link-local", "169.254.169.254", "fe80::1"),
    case(
        "NP-167-node",
        pod("y/odd", "192.0.2.2", "2001:db8:1::2"),
        policy("y", "odd", policyTypes=["Ingress", "Egress"]),
        ingress("x", "a", {"from": [anywhere("odd")]}),
        allow=["x/b > node:n2 TCP/80", "x/b > y/odd TCP/80", "node:n2 > x/b TCP/80"],
        deny=["node:n2 > x/a TCP/80"],
    ),
    case(
        "NP-093-at-no-nodes-address",
        pod("z/lone", "192.0.2.77", "2001:db8:1::77", node="n2", spec={"hostNetwork": True}),
        ingress("x", "a", {"from": [anywhere("lone")]}),
        deny=["z/lone > x/a TCP/80"],
    ),
    case(
        "NP-167-one-family",
        pod("y/odd", "127.0.0.1", "fd00:10:244:5::7"),
        isolate("odd"),
        ingress("x", "a", {"from": [anywhere("odd")]}),
        allow=["x/c > y/odd TCP/80 v4", "y/odd > x/a TCP/80 v6"],
        deny=["x/c > y/odd TCP/80 v6", "y/odd > x/a TCP/80 v4"],
    ),
    case(
        "NP-167-beside-what-could-be",
        *(pod(f"y/near{number}", text, node="n2") for number, text in enumerate(
            ("128.0.0.0", "126.255.255.255", "169.253.255.255", "223.255.255.255", "240.0.0.1", "192.0.2.3")
        )),
        ingress("x", "a", {"from": [{"namespaceSelector": {}, "podSelector": {"matchExpressions": [
            requirement("pod", "Exists"),
        ]}}]}),
        allow=[f"y/near{number} > x/a TCP/80 v4" for number in range(6)],
    ),
)  # fmt: skip

#: As the agent sees them: `w` is a namespace that the API server has not told of.
LIVE = (
    case(
        "NP-168-peer",
        pod("w/new", "10.244.6.1", "fd00:10:244:6::1", node="n2"),
        ingress("x", "a", {"from": [{**namespaces(requirement("team", "NotIn", "evil"))}]}),
        ingress("x", "b", {"from": [namespaces(requirement("team", "DoesNotExist"))]}, name="q"),
        ingress("x", "c", {"from": [namespaces(**{"kubernetes.io/metadata.name": "w"})]}, name="r"),
        ingress("y", "a", {"from": [namespaces()]}, name="s"),
        egress("y", "b", {"to": [namespaces()]}, name="t"),
        allow=["x/a > y/a TCP/80", "y/b > x/a TCP/80"],
        deny=["w/new > x/a TCP/80", "w/new > x/b TCP/80", "w/new > x/c TCP/80", "w/new > y/a TCP/80",
              "y/b > w/new TCP/80"],
    ),
    case(
        "NP-168-known-by-now",
        namespace("w", team="good"),
        pod("w/new", "10.244.6.1", "fd00:10:244:6::1", node="n2"),
        ingress("x", "a", {"from": [{**namespaces(requirement("team", "NotIn", "evil"))}]}),
        allow=["w/new > x/a TCP/80"],
    ),
    case(
        "NP-168-its-own-namespace",
        pod("w/new", "10.244.6.1", "fd00:10:244:6::1"),
        pod("w/old", "10.244.6.2", "fd00:10:244:6::2"),
        ingress("w", "new", {"from": [pods(pod="old")]}),
        allow=["w/old > w/new TCP/80"],
        deny=["x/a > w/new TCP/80"],
    ),
    case(
        "NP-168-claimed",
        pod("w/first", *SHARED),
        pod("y/second", *SHARED),
        ingress("x", "a", {"from": [{**namespaces()}]}),
        deny=["y/second > x/a TCP/80"],
    ),
)  # fmt: skip
