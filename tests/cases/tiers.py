"""ClusterNetworkPolicy (semantics 2): what the recorded cases leave out."""

from __future__ import annotations

from typing import Any

from tests.cases.form import case, cluster_policy, egress, ingress, pod
from tests.oracle import Manifest

PODS: Manifest = {"namespaces": {}}
OUTSIDE = "ext:203.0.113.7"
GREEN = {"namespaces": {"matchLabels": {"team": "green"}}}
BLUE = {"namespaces": {"matchLabels": {"team": "blue"}}}
SHARED = ("10.244.5.5", "fd00:10:244:5::5")


def tier(name: str = "c", tier: str = "Admin", priority: int = 10, **spec: Any) -> Manifest:
    """Write a policy; its subject is the namespace x unless it is given."""
    return cluster_policy(name, **{"tier": tier, "priority": priority, "subject": BLUE, **spec})


def rule(action: str, *peers: Manifest, side: str = "from", **more: Any) -> Manifest:
    return {"action": action, side: list(peers), **more}


def named(*names: str) -> Manifest:
    """A peer or subject: pods of these names, of all namespaces."""
    expression = {"key": "pod", "operator": "In", "values": list(names)}
    return {"pods": {"podSelector": {"matchExpressions": [expression]}}}


def tcp(number: int, last: int | None = None) -> Manifest:
    port = {"number": number} if last is None else {"range": {"start": number, "end": last}}
    return {"tcp": {"destinationPort": port}}


DENY_ALL = ingress("x", None)
VERDICTS = (
    case(
        "CNP-001",
        tier(ingress=[]),
        tier("d", "Baseline"),
        allow=["y/a > x/a TCP/80", "x/a > y/a TCP/80", f"{OUTSIDE} > x/a ICMP"],
    ),
    case(
        "CNP-002",
        tier(ingress=[rule("Accept", GREEN, protocols=[tcp(80)])]),
        allow=["y/a > x/a TCP/80", "y/a > x/a TCP/81", "z/dup > x/a UDP/53", "x/a > y/a TCP/80"],
    ),
    case(
        "CNP-004",
        tier(ingress=[rule("Accept", GREEN)]),
        DENY_ALL,
        allow=["y/a > x/a TCP/80", "y/b > x/b ICMP"],
        deny=["z/dup > x/a TCP/80", "x/b > x/a TCP/80"],
    ),
    case(
        "CNP-005",
        tier(ingress=[rule("Deny", GREEN)]),
        ingress("x", None, {}),
        allow=["z/dup > x/a TCP/80", "x/b > x/a TCP/80"],
        deny=["y/a > x/a TCP/80", "y/b > x/b ICMP"],
    ),
    case(
        "CNP-006",
        tier("first", priority=40, ingress=[rule("Pass", named("a")), rule("Deny", named("a"))]),
        tier("second", priority=50, ingress=[rule("Deny", GREEN)]),
        ingress("x", "b"),
        tier("third", "Baseline", ingress=[rule("Deny", PODS, protocols=[tcp(81)])]),
        allow=["y/a > x/a TCP/80"],
        deny=["y/b > x/a TCP/80", "y/a > x/b TCP/80", "y/a > x/a TCP/81"],
    ),
    case(
        "CNP-010",
        tier("first", "Baseline", 1, ingress=[rule("Pass", GREEN)]),
        tier("second", "Baseline", 2, ingress=[rule("Deny", PODS)]),
        allow=["y/a > x/a TCP/80"],
        deny=["z/dup > x/a TCP/80"],
    ),
    case(
        "CNP-018",
        tier(ingress=[rule("Deny", named("b")), rule("Accept", PODS), rule("Deny", PODS)]),
        DENY_ALL,
        allow=["y/a > x/a TCP/80", "z/dup > x/a TCP/80"],
        deny=["y/b > x/a TCP/80", f"{OUTSIDE} > x/a TCP/80"],
    ),
    case(
        "CNP-018-numbers",
        tier("a", priority=100, ingress=[rule("Deny", PODS)]),
        tier("b", priority=15, ingress=[rule("Pass", named("b"))]),
        tier("c", priority=9, ingress=[rule("Accept", named("b"), protocols=[tcp(80)])]),
        DENY_ALL,
        allow=["y/b > x/a TCP/80"],
        deny=["y/b > x/a TCP/81", "y/a > x/a TCP/80"],
    ),
    case(
        "CNP-024",
        tier(egress=[rule("Deny", {"networks": ["203.0.113.77/24"]}, side="to")]),
        allow=["x/a > ext:198.51.100.7 TCP/80"],
        deny=[f"x/a > {OUTSIDE} TCP/80"],
    ),
    case(
        "CNP-025",
        tier(egress=[rule("Deny", {"nodes": {"matchLabels": {"role": "edge"}}}, side="to")]),
        allow=["x/a > node:n2 TCP/22", "x/b > node:n2 ICMP", "x/a > y/b TCP/80"],
        deny=["x/a > node:n1 TCP/22", "x/b > node:n1 TCP/22", "x/b > z/host TCP/80", "x/b > node:n1 ICMP"],
    ),
    case(
        "CNP-026",
        tier(egress=[rule("Deny", {"nodes": {}}, side="to", protocols=[tcp(10250)])]),
        allow=["x/a > node:n1 TCP/22", "x/a > y/a TCP/10250", "x/a > node:n2 UDP/10250"],
        deny=["x/a > node:n1 TCP/10250", "x/a > node:n2 TCP/10250", "x/b > node:n2 TCP/10250"],
    ),
    case(
        "CNP-030",
        tier(ingress=[rule("Deny", PODS, protocols=[tcp(80, 90), {"udp": tcp(53)["tcp"]}])]),
        allow=["y/a > x/a TCP/79", "y/a > x/a TCP/91", "y/a > x/a TCP/53", "y/a > x/a UDP/80"],
        deny=["y/a > x/a TCP/80", "y/a > x/a TCP/90", "y/a > x/a UDP/53"],
    ),
    case(
        "CNP-030-icmp",
        tier(ingress=[rule("Deny", PODS, protocols=[tcp(1, 65535)])]),
        allow=["y/a > x/a ICMP", "y/a > x/a SCTP/80"],
    ),
    case(
        "CNP-033",
        tier(egress=[rule("Deny", PODS, side="to", protocols=[{"destinationNamedPort": "http"}])]),
        allow=["x/a > y/b TCP/80", "x/a > x/b TCP/80", f"x/a > {OUTSIDE} TCP/80", "x/a > z/host TCP/80"],
        deny=["x/a > y/b UDP/80", "x/a > x/b TCP/8080", "x/b > x/a TCP/80", "x/a > z/dup TCP/81"],
    ),
    case(
        "CNP-034",
        tier(
            egress=[
                rule(
                    "Deny",
                    {"networks": ["10.244.1.0/24"]},
                    side="to",
                    protocols=[{"destinationNamedPort": "http"}],
                )
            ]
        ),
        allow=["x/a > x/b TCP/80", "x/a > y/a TCP/8000", "x/a > x/c TCP/80"],
        deny=["x/a > x/b TCP/8080", "x/b > x/a TCP/80"],
    ),
    case(
        "CNP-036",
        tier(
            egress=[
                rule("Deny", {"nodes": {}}, side="to", protocols=[{"destinationNamedPort": "http"}, tcp(22)])
            ]
        ),
        allow=["x/b > z/host TCP/80", "x/b > node:n1 TCP/80"],
        deny=["x/b > z/host TCP/22"],
    ),
    case(
        "CNP-050",
        tier(ingress=[rule("Deny", PODS)], egress=[rule("Deny", PODS, side="to")]),
        allow=["x/a > x/a TCP/80"],
        deny=["x/a > x/b TCP/80"],
    ),
    case(
        "CNP-053",
        tier(ingress=[rule("Deny", PODS)]),
        tier("d", "Baseline", ingress=[rule("Deny", PODS)]),
        egress("y", None, name="isolates-egress-only"),
        allow=[f"{OUTSIDE} > x/a TCP/80", "node:n2 > x/a TCP/80"],
        deny=["z/dup > x/a TCP/80"],
    ),
    case(
        "CNP-055",
        tier(subject=named("nobody"), ingress=[rule("Deny", PODS)]),
        allow=["y/a > x/a TCP/80", "x/a > y/a TCP/80"],
    ),
)

CLOSED = (
    case(
        "CNP-040-deny",
        tier(
            ingress=[rule("Accept", named("b"), protocols=[tcp(80)]), rule("Deny", {}), rule("Accept", PODS)]
        ),
        allow=["y/b > x/a TCP/80", "x/a > y/a TCP/80"],
        deny=["y/b > x/a TCP/81", "y/a > x/a TCP/80", f"{OUTSIDE} > x/a ICMP", "node:n2 > x/a TCP/80"],
    ),
    case(
        "CNP-040-pass",
        tier(egress=[rule("Pass", PODS, {}, side="to")]),
        allow=["y/a > x/a TCP/80"],
        deny=["x/a > y/a TCP/80", f"x/a > {OUTSIDE} TCP/80"],
    ),
    case(
        "CNP-040-accept",
        tier(ingress=[rule("Accept", PODS, {}), rule("Deny", named("b"))]),
        allow=["y/a > x/a TCP/80"],
        deny=["y/b > x/a TCP/80"],
    ),
    case(
        "CNP-041",
        tier(ingress=[rule("Deny", GREEN, {"services": {"name": "s"}})]),
        allow=["x/a > y/a TCP/80"],
        deny=["z/dup > x/a TCP/80", "y/a > x/a TCP/80"],
    ),
    case(
        "CNP-043",
        tier(ingress=[rule("Deny", {})]),
        allow=["node:n1 > x/a TCP/80", "node:n2 > x/b TCP/80", "z/host > x/a TCP/80"],
        deny=["node:n2 > x/a TCP/80", "node:n1 > x/b TCP/80"],
    ),
    case(
        "CNP-044",
        tier(
            egress=[
                rule("Accept", {"domainNames": ["example.com"]}, side="to"),
                rule("Deny", {"networks": ["0.0.0.0/0"]}, side="to"),
            ]
        ),
        deny=[f"x/a > {OUTSIDE} TCP/443"],
    ),
    case(
        "CNP-045",
        tier(ingress=[rule("Accept", named("b")), rule("Log", GREEN)]),
        allow=["y/b > x/a TCP/80"],
        deny=["y/a > x/a TCP/80", "z/dup > x/a TCP/80"],
    ),
    case(
        "CNP-046",
        tier(
            ingress=[
                rule("Deny", {"namespaces": {"matchExpressions": [{"key": "team", "operator": "notIn"}]}})
            ]
        ),
        tier(
            "no-subject",
            subject={"namespaces": {"matchExpressions": [{"key": "k", "operator": "Gt", "values": ["1"]}]}},
            egress=[rule("Deny", PODS, side="to")],
        ),
        allow=["x/a > y/a TCP/80"],
        deny=["y/a > x/a TCP/80", "z/dup > x/a TCP/80"],
    ),
    case(
        "CNP-047",
        tier("a", "Emergency", ingress=[rule("Deny", PODS)]),
        tier("b", priority=1001, ingress=[rule("Deny", PODS)]),
        tier("c", subject={**BLUE, **named("a")}, ingress=[rule("Deny", PODS)]),
        allow=["y/a > x/a TCP/80"],
    ),
)


def claimed(number: str, *objects: Manifest, **probes: Any) -> Manifest:
    """Write a case in which y/first on n1 and y/second on n2 claim one address in each family (NP-166)."""
    return case(number, pod("y/first", *SHARED), pod("y/second", *SHARED, node="n2"), *objects, **probes)


CLAIMED = (
    claimed(
        "NP-166-tiers-peer",
        tier("a", priority=1, ingress=[rule("Accept", named("first"), protocols=[tcp(80)])]),
        tier("b", priority=2, ingress=[rule("Accept", named("first", "second"), protocols=[tcp(81)])]),
        tier("c", priority=3, ingress=[rule("Deny", named("second"), protocols=[tcp(82)])]),
        ingress("x", "b"),
        allow=["y/first > x/b TCP/81"],
        deny=["y/first > x/b TCP/80", "y/first > x/a TCP/82"],
    ),
    claimed(
        "NP-166-tiers-pass",
        tier(ingress=[rule("Pass", named("first")), rule("Accept", named("first", "second"))]),
        deny=["y/first > x/a TCP/80"],
    ),
    claimed(
        "NP-166-tiers-subject",
        tier("a", subject=named("first"), ingress=[rule("Accept", PODS)]),
        tier("b", subject=named("second"), ingress=[rule("Deny", PODS, protocols=[tcp(80)])]),
        ingress("y", "first"),
        allow=["x/a > y/first TCP/81"],
        deny=["x/a > y/first TCP/80", f"{OUTSIDE} > y/first TCP/81"],
    ),
)
