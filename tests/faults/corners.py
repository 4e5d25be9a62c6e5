"""Clusters that tell faults which no random world tells, or hardly one: how pods hang on a bridge, mostly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from policyd.cluster.attachments import Attachments
from policyd.cluster.state import ClusterState
from policyd_compiler.ir import Attachment
from policyd_compiler.options import Options
from tests.cases.form import allow_all, block, egress, ingress, namespace, pod, pods
from tests.cases.tiers import PODS, rule, tier
from tests.oracle import Manifest
from tests.routes import DEFAULTS, state_of


@dataclass(frozen=True)
class Corner:
    """A cluster, how its only node is set, and which policies are quarantined."""

    state: ClusterState
    options: Options = DEFAULTS
    closed: frozenset[str] = frozenset()


UNKNOWN = "vethx"
CLOSED = Options(pod_interfaces=("veth*",))
HTTP = [{"name": "http", "containerPort": 8080}]
DNS = [{"port": 53, "protocol": "UDP"}]
A, B = pod("x/a", "10.0.0.1", "fd00::1"), pod("x/b", "10.0.0.2", "fd00::2")


def corners() -> Iterator[Corner]:
    """All of them."""
    yield from _of_policies()
    yield from _of_links()


def _of_policies() -> Iterator[Corner]:
    nowhere = pod("x/a", "10.0.0.1", spec={"nodeName": None})
    yield Corner(state_of([namespace("x"), nowhere, ingress("x", "a")]))
    # Of two rules that name one port each means its own peers.
    named = (pod(f"x/{name}", f"10.0.1.{ord(name)}", node="n2", ports=HTTP) for name in "cde")
    rules = ({"to": [pods(pod=name)], "ports": [{"port": "http"}]} for name in "cd")
    yield Corner(state_of([namespace("x"), A, *named, egress("x", "a", *rules)]))
    # Whoever says nothing of namespaces means pods of those, too, that are not known.
    denying = tier(ingress=[rule("Deny", {"pods": {"podSelector": {}}})])
    unknown = pod("new/a", "10.0.2.1", node="n2")
    yield Corner(state_of([namespace("x", team="blue"), A, unknown, denying], live=True))
    # Closed policies isolate, and allow nothing: those that the kernel refused, and those over a budget.
    yield Corner(state_of([namespace("x"), A, ingress("x", "a", {})]), closed=frozenset({"x/p"}))
    nobody = [pods(no=f"body{number}") for number in range(1000)]
    long = ingress("x", "a", {"from": [*nobody, pods(pod="b")]})
    yield Corner(state_of([namespace("x"), A, B, long]), Options(policy_budget=100))


def _of_links() -> Iterator[Corner]:
    # The ports of bridges come from another reading than the pods'.
    unlisted = on_bridge([namespace("x"), A, B, ingress("x", "a", {"from": [pods(pod="b")]})], "ab")
    yield Corner(replace(unlisted, attachments=replace(unlisted.attachments, ports=())))
    # Pods of other nodes are behind the bridge, too.
    isolated = on_bridge([namespace("x"), A, B, ingress("x", "a")], "ab")
    yield Corner(replace(isolated, attachments=replace(isolated.attachments, shared=("cni0",))), CLOSED)
    # Who is behind a port that is not known may be whom a rule denies.
    denying = tier(subject=PODS, ingress=[rule("Deny", PODS)])
    yield Corner(on_bridge([namespace("x", team="blue"), A, B, allow_all("x"), denying], "a"))
    # Policies allow everything to a pod whose port is not known.
    loose = (pod("x/c", "10.0.0.3"), ingress("x", "c", {}, name="open"))
    yield Corner(on_bridge([namespace("x"), A, B, *loose, ingress("x", "b")], "b"))
    # Nobody can tell who hears a group, and policies allow everything.
    yield Corner(state_of([namespace("x"), A, ingress("x", "a", {})]), Options(pod_interfaces=("cali*",)))
    yield Corner(on_bridge(_sharing(), "abcd"))
    # An answer for the whole link is the least that any of its addresses is allowed.
    for cidr in ("fe80::/10", "ff00::/8", "::/0"):
        yield Corner(
            on_bridge([namespace("x"), A, B, egress("x", "a", {"to": [block(cidr)], "ports": DNS})], "ab")
        )


def on_bridge(objects: Sequence[Manifest], known: str, ports: Sequence[str] = (UNKNOWN,)) -> ClusterState:
    """A cluster; pods of the namespace x with these names have ports, and `ports` are of bridges, too."""
    attached = {f"x/{name}": Attachment(f"veth{name}", "cni0", ord(name)) for name in known}
    named = tuple(sorted({*ports, *(each.interface for each in attached.values())}))
    return replace(state_of([*objects]), attachments=Attachments(attached, ("cni0",), named, ("eth1",)))


def _sharing() -> list[Manifest]:
    """Two pods claim one IPv6 address; each has an IPv4 address of its own, and policies of its own."""
    # The newer one is reported, so that what is said of both stands before what is said of the other.
    newer = pod("x/c", "10.0.0.3", "fd00::3", status={"startTime": "2026-01-02T00:00:00Z"})
    shared = (newer, pod("x/d", "10.0.0.4", "fd00::3"))
    policies = (
        ingress("x", "c", {"from": [pods(pod="a")], "ports": DNS}, name="c"),
        ingress("x", "d", {"from": [pods(pod="a")]}, {"from": [pods(pod="b")], "ports": DNS}, name="d"),
        egress("x", "c", name="c-out"),
        egress("x", "d", {"ports": DNS}, name="d-out"),
    )
    return [namespace("x"), A, B, *shared, *policies]
