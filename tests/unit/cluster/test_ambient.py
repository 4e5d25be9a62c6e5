"""Policies as Istio's ambient mesh needs them: whom they allow some TCP port, they allow the mesh's."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from policyd.cluster.ambient import for_mesh, with_mesh_port
from policyd.cluster.state import ClusterState
from policyd.kube.objects import NetworkPolicy
from policyd.manifests.load import load_manifest
from policyd.pipeline import build
from policyd.proof.prove import prove
from policyd_compiler.nft.ast import Table
from policyd_compiler.nft.packet import Packet
from policyd_compiler.options import Options
from policyd_compiler.sim import Simulator
from tests.cases.form import block, egress, ingress, namespace, pod, pods
from tests.oracle import Manifest

TRANSLATE = Options(istio_ambient="translate")
WEB, FRIEND, OTHER, OUTSIDE = 0x0A000001, 0x0A000002, 0x0A000003, 0xCB007107
WORLD = (
    namespace("x"),
    pod("x/web", "10.0.0.1"),
    pod("x/friend", "10.0.0.2", node="n2"),
    pod("x/other", "10.0.0.3", node="n2"),
)
FRIENDS, TCP, UDP = pods(pod="friend"), {"port": 80}, {"port": 53, "protocol": "UDP"}


def state_of(*policies: Manifest) -> ClusterState:
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": [*WORLD, *policies]})
    loaded, diagnostics = load_manifest(text.encode(), "world.json")
    assert not [str(found) for found in diagnostics if found.severity == "error"]
    return ClusterState.of(loaded)


def tier(direction: str, *rules: Manifest) -> Manifest:
    """A ClusterNetworkPolicy for `web`."""
    subject = {"pods": {"namespaceSelector": {}, "podSelector": {"matchLabels": {"pod": "web"}}}}
    return {
        "apiVersion": "policy.networking.k8s.io/v1alpha2",
        "kind": "ClusterNetworkPolicy",
        "metadata": {"name": "t"},
        "spec": {"tier": "Admin", "priority": 1, "subject": subject, direction: list(rules)},
    }


#: A policy for `web`; who reaches port 15008 with it, or who is reached there; and in which direction.
CASES: list[tuple[str, Manifest, set[int]]] = [
    ("ingress", ingress("x", "web", {"from": [FRIENDS], "ports": [TCP]}), {FRIEND}),
    ("ingress", ingress("x", "web", {"from": [FRIENDS], "ports": [UDP]}), set()),
    ("ingress", ingress("x", "web", {"from": [FRIENDS], "ports": [UDP, TCP]}), {FRIEND}),
    ("ingress", ingress("x", "web", {"from": [FRIENDS]}), {FRIEND}),
    ("ingress", ingress("x", "web", {"ports": [TCP]}), {FRIEND, OTHER}),
    ("ingress", ingress("x", "web", {"from": [block("203.0.113.0/24")], "ports": [TCP]}), set()),
    ("ingress", ingress("x", "web", {"from": [block("203.0.113.0/24"), FRIENDS], "ports": [TCP]}), {FRIEND}),
    ("ingress", ingress("x", "web"), set()),
    ("egress", egress("x", "web", {"to": [FRIENDS], "ports": [TCP]}), {FRIEND}),
    ("egress", egress("x", "web", {"ports": [TCP]}), {FRIEND, OTHER}),
    ("egress", egress("x", "web", {"to": [block("0.0.0.0/0")], "ports": [TCP]}), set()),
    ("egress", egress("x", "web", {}), {FRIEND, OTHER, OUTSIDE}),
]


@pytest.mark.parametrize(("direction", "policy", "allowed"), CASES)
def test_the_meshs_port_is_open_to_pods_that_may_use_another(
    direction: str, policy: Manifest, allowed: set[int]
) -> None:
    """Never to addresses outside, unless the policy allows them all ports: an isolated pod stays in."""
    state = state_of(policy)
    table = build(state, "n1", TRANSLATE).table
    assert prove(state, "n1", TRANSLATE, table).proved
    strict = build(state, "n1", Options()).table
    for port in (80, 53, 15007, 15008):
        passes = reached(table, direction, port)
        assert passes == (allowed if port == 15008 else reached(strict, direction, port))


def reached(table: Table, direction: str, port: int) -> set[int]:
    """With whom a pod may speak TCP at a port: the sources of its ingress, or where its egress goes."""
    simulator = Simulator(table)
    found = set()
    for peer in (FRIEND, OTHER, OUTSIDE):
        ends = (peer, WEB) if direction == "ingress" else (WEB, peer)
        asked = Packet(4, *ends, "tcp", port, iifname="eth1", oifname="veth1")
        if simulator.evaluate(asked).verdict == "accept":
            found.add(peer)
    return found


PEERS = [{"pods": {"namespaceSelector": {}, "podSelector": {"matchLabels": {"pod": "friend"}}}}]
ALL: list[Manifest] = [{"namespaces": {}}]
PORTS = [{"tcp": {"destinationPort": {"number": 80}}}]
ACCEPT, DENY = {"action": "Accept"}, {"action": "Deny"}


@pytest.mark.parametrize(
    ("rules", "allowed"),
    [
        ([{**ACCEPT, "from": PEERS, "protocols": PORTS}, {**DENY, "from": ALL}], {FRIEND, OUTSIDE}),
        ([{**DENY, "from": PEERS, "protocols": PORTS}], {FRIEND, OTHER, OUTSIDE}),
        ([{**DENY, "from": PEERS}, {**ACCEPT, "from": ALL, "protocols": PORTS}], {OTHER, OUTSIDE}),
    ],
)
def test_tiers_open_the_meshs_port_in_their_order(rules: list[Manifest], allowed: set[int]) -> None:
    """What accepts a port accepts the mesh's; what denies some port denies that port, inside the pod."""
    state = state_of(tier("ingress", *rules))
    table = build(state, "n1", TRANSLATE).table
    assert prove(state, "n1", TRANSLATE, table).proved
    assert reached(table, "ingress", 15008) == allowed


def test_rules_keep_their_numbers() -> None:
    """What is told of them names the ones that were written; what is added for pods alone comes behind."""
    state = state_of(ingress("x", "web", {"ports": [TCP]}, {"from": [FRIENDS], "ports": [UDP]}))
    [policy] = state.policies.values()
    made = with_mesh_port(policy)
    assert isinstance(made, NetworkPolicy)
    assert made.ingress is not None
    assert made == replace(policy, ingress=made.ingress)
    assert made.ingress[:2] == policy.ingress
    assert len(made.ingress) == 3


def test_where_it_is_not_asked_for_nothing_changes() -> None:
    state = state_of(ingress("x", "web", {"ports": [TCP]}))
    assert for_mesh(state, Options()) is state
    assert for_mesh(state, TRANSLATE).pods == state.pods
