"""Shapes of policies, and what selectors match (semantics 1.1, 1.2)."""

from __future__ import annotations

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
)  # fmt: skip

OUTSIDE = "ext:203.0.113.7"
LONG_NAME = ".".join(("n" * 63, "n" * 63, "n" * 63, "n" * 61))  # 253 characters

SHAPES = (
    case(
        "NP-007",
        policy("x", "a", policyTypes=["Ingress"], egress=[{"to": [pods(pod="b")]}]),
        allow=["x/a > y/a TCP/80", "x/a > x/b TCP/80"],
        deny=["x/b > x/a TCP/80"],
    ),
    case(
        "NP-009",
        policy("x", "a", ingress=[{"ports": [{"port": 80}]}]),
        allow=["y/a > x/a TCP/80", "x/a > y/a TCP/80"],
        deny=["y/a > x/a UDP/80", "y/a > x/a TCP/81"],
    ),
    case(
        "NP-011-default",
        namespace("default"),
        pod("default/d", "10.244.4.10", "fd00:10:244:4::a"),
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "p"},
            "spec": {"podSelector": {}},
        },
        allow=["default/d > x/a TCP/80"],
        deny=["x/a > default/d TCP/80"],
    ),
    case(
        "NP-015",
        egress("x", "a", {"to": [], "ports": [{"port": 80}]}),
        allow=["x/a > x/b TCP/80", "x/a > node:n1 TCP/80", "x/a > node:n2 TCP/80", f"x/a > {OUTSIDE} TCP/80"],
        deny=["x/a > x/b TCP/81", f"x/a > {OUTSIDE} UDP/80"],
    ),
    case(
        "NP-016",
        ingress("x", "a", {"from": [pods(pod="b")], "ports": []}),
        allow=[
            "x/b > x/a TCP/1", "x/b > x/a UDP/65535", "x/b > x/a SCTP/80", "x/b > x/a ICMP",
            "x/b > x/a OTHER",
        ],
        deny=["x/c > x/a TCP/1", "x/c > x/a ICMP"],
    ),
    case(
        "NP-017-null",
        ingress("x", "a", {"ports": [None]}),
        allow=["x/b > x/a TCP/1", "x/b > x/a TCP/65535"],
        deny=["x/b > x/a UDP/1", "x/b > x/a SCTP/1", "x/b > x/a ICMP"],
    ),
    case(
        "NP-020",
        ingress("x", "a", {"from": [pods(pod="b"), pods(pod="c")], "ports": [{"port": 80}, {"port": 81}]}),
        allow=["x/b > x/a TCP/80", "x/b > x/a TCP/81", "x/c > x/a TCP/80", "x/c > x/a TCP/81"],
        deny=["x/b > x/a TCP/82", "y/b > x/a TCP/80"],
    ),
    case(
        "NP-022",
        egress("x", "a", {"to": [pods(pod="b")]}, name="out"),
        ingress("x", "b", {"from": [pods(pod="c")]}, name="in-b"),
        ingress("x", "c", {"from": [pods(pod="a")]}, name="in-c"),
        allow=["x/c > x/b TCP/80"],
        deny=["x/a > x/b TCP/80", "x/a > x/c TCP/80"],
    ),
    case(
        "NP-025",
        ingress(
            "x", "a",
            {"ports": [{"port": 100, "endPort": 200}, {"port": 150, "endPort": 250}]},
            {"ports": [{"port": 80, "endPort": 80}, {"port": 80}, {"port": 80}]},
        ),
        allow=["x/b > x/a TCP/80", "x/b > x/a TCP/100", "x/b > x/a TCP/175", "x/b > x/a TCP/250"],
        deny=["x/b > x/a TCP/79", "x/b > x/a TCP/81", "x/b > x/a TCP/99", "x/b > x/a TCP/251"],
    ),
    case(
        "NP-026",
        ingress("x", "a", {"ports": [{"port": 1, "endPort": 65535}]}),
        allow=["x/b > x/a TCP/1", "x/b > x/a TCP/65535"],
        deny=["x/b > x/a UDP/1", "x/b > x/a ICMP", "x/b > x/a OTHER"],
    ),
    case(
        "NP-029",
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {
                "name": "p",
                "namespace": "x",
                "deletionTimestamp": "2026-01-01T00:00:00Z",
                "finalizers": ["example.org/hold"],
            },
            "spec": {"podSelector": {}},
            "status": {"conditions": []},
        },
        deny=["y/a > x/a TCP/80"],
    ),
    case(
        "NP-042",
        ingress("x", "a", {"from": [pods(pod="b")]}, name=LONG_NAME),
        ingress("x", "b", {"from": [pods(pod="c")]}, name=LONG_NAME[:-1] + "m"),
        ingress("x", "c", {"from": [pods(pod="a")]}, name=LONG_NAME[:-1] + "k"),  # on the node of x/b
        ingress("y", "a", {"from": [pods(pod="b")]}, name=LONG_NAME),
        allow=["x/b > x/a TCP/80", "x/c > x/b TCP/80", "x/a > x/c TCP/80", "y/b > y/a TCP/80"],
        deny=["x/c > x/a TCP/80", "x/a > x/b TCP/80", "x/b > x/c TCP/80", "x/b > y/a TCP/80"],
    ),
)  # fmt: skip

SELECTORS = (
    case(
        "NP-030",
        ingress("x", "a", {"from": [namespaces(requirement("env", "Exists"), team="green")]}),
        ingress("x", "b", {"from": [namespaces(requirement("env", "DoesNotExist"), team="green")]}, name="q"),
        allow=["y/a > x/a TCP/80"],
        deny=["z/dup > x/a TCP/80", "x/c > x/a TCP/80", "y/a > x/b TCP/80"],
    ),
    case(
        "NP-031",
        ingress("x", None, {"from": [pods(requirement("tier", "NotIn", "web"))]}),
        allow=["x/b > x/a TCP/80", "x/c > x/a TCP/80"],
        deny=["x/a > x/b TCP/80", "y/b > x/a TCP/80"],
    ),
    case(
        "NP-033",
        ingress("x", "a", {"from": [pods(requirement("tier", "Exists"))]}),
        allow=["x/c > x/a TCP/80"],
        deny=["x/b > x/a TCP/80"],
    ),
    case(
        "NP-034-labels",
        ingress("x", "a", {"from": [pods(tier="")]}),
        allow=["x/c > x/a TCP/80"],
        deny=["x/b > x/a TCP/80"],
    ),
    case("NP-036-pods", ingress("x", "a", {"from": [pods()]}), allow=["x/b > x/a TCP/80"],
         deny=["y/a > x/a TCP/80"]),
    case(
        "NP-038",
        ingress("x", "a", {"from": [namespaces(env="")]}),
        allow=["y/a > x/a TCP/80", "y/b > x/a TCP/80"],
        deny=["z/dup > x/a TCP/80", "x/b > x/a TCP/80"],
    ),
    case(
        "NP-039",
        ingress("x", "a", {"from": [namespaces(requirement("team", "NotIn", "green"))]}),
        allow=["z/dup > x/a TCP/80", "x/b > x/a TCP/80"],
        deny=["y/a > x/a TCP/80", "node:n2 > x/a TCP/80", f"{OUTSIDE} > x/a TCP/80"],
    ),
    case(
        "NP-040-missing",
        pod("w/lost", "10.244.4.11", "fd00:10:244:4::b"),
        ingress("x", "a", {"from": [namespaces(**{"kubernetes.io/metadata.name": "w"})]}),
        ingress("x", "b", {"from": [namespaces(requirement("team", "Exists"))]}, name="q"),
        ingress("w", None, {"from": [namespaces(team="green")]}),
        allow=["w/lost > x/a TCP/80", "y/a > w/lost TCP/80"],
        deny=["y/a > x/a TCP/80", "w/lost > x/b TCP/80", "x/a > w/lost TCP/80"],
    ),
    case(
        "NP-040-injected",
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "w"}},
        pod("w/plain", "10.244.4.12", "fd00:10:244:4::c"),
        ingress("x", "a", {"from": [namespaces(**{"kubernetes.io/metadata.name": "w"})]}),
        allow=["w/plain > x/a TCP/80"],
        deny=["x/b > x/a TCP/80"],
    ),
    case(
        "NP-045",
        ingress("x", "a", {"from": [pods(pod="not a label value!")]}),
        ingress("x", "b", {"from": [pods(requirement("pod", "NotIn", "not a label value!"))]}, name="q"),
        allow=["x/a > x/b TCP/80", "x/c > x/b TCP/80"],
        deny=["x/b > x/a TCP/80", "x/c > x/a TCP/80"],
    ),
    case(
        "NP-046",
        ingress("x", "b", {"from": [namespaces(), {"namespaceSelector": {}, "podSelector": {}}]}),
        egress("x", "c", {"to": [namespaces()]}, name="q"),
        allow=["z/dup > x/b TCP/80", "x/c > z/dup TCP/80"],
        deny=[
            "z/host > x/b TCP/80", "node:n1 > x/b TCP/80", "x/c > z/host TCP/80", "x/c > node:n2 TCP/22",
            f"x/c > {OUTSIDE} TCP/80",
        ],
    ),
    case(
        "NP-098",
        ingress("x", "a", {"from": [block("0.0.0.0/0", "10.244.1.0/24"), pods(pod="b")]}),
        allow=["x/b > x/a TCP/80", "y/a > x/a TCP/80"],
        deny=["x/c > x/a TCP/80"],
    ),
)  # fmt: skip
