"""ClusterNetworkPolicies on their way: closed by the agent, without a budget, written and read again."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given

from policyd.cluster.anonymise import anonymise
from policyd.cluster.state import ClusterState, MissingNamespaces
from policyd.kube.decode import decode_live
from policyd.kube.encode import encode
from policyd.kube.objects import ClusterNetworkPolicy
from policyd.pipeline import build
from policyd_compiler.options import Options
from policyd_compiler.sim import Simulator
from tests.cases.form import ingress, pod
from tests.cases.tiers import PODS, named, rule, tier
from tests.oracle import Connection, Manifest
from tests.routes import node_addresses, packet
from tests.strategies.clusters import Shape
from tests.strategies.worlds import worlds
from tests.worlds import recorded_world

Y, UNKNOWN = "10.250.0.1", "10.250.0.2"
RED = {"namespaceSelector": {}, "podSelector": {"matchLabels": {"team": "red"}}}
SHAPE = Shape(policies=2, least_policies=0, tiers=4, strange_tiers=True)


def state_of(objects: list[Manifest], missing: MissingNamespaces = MissingNamespaces.NAMED) -> ClusterState:
    decoded = (decode_live(raw).item for raw in objects)
    return ClusterState.of((item for item in decoded if item is not None), missing)


@given(worlds(SHAPE))
def test_policies_are_written_and_read_as_the_same(world: list[Manifest]) -> None:
    """Also those that are closed, as a server holds them."""
    for policy in state_of(world).cluster_policies.values():
        again = decode_live(encode(policy)).item
        assert isinstance(again, ClusterNetworkPolicy)
        assert encode(again) == encode(policy)
        assert [len(r or ()) for r in (again.ingress, again.egress)] == [
            len(r or ()) for r in (policy.ingress, policy.egress)
        ]


@given(worlds(SHAPE))
def test_under_other_names_a_cluster_has_a_ruleset_of_the_same_size(world: list[Manifest]) -> None:
    state = state_of(world)
    renamed = anonymise(state)
    nodes = dict(zip(sorted(state.nodes), sorted(renamed.nodes), strict=True))
    for node in state.nodes:
        assert build(renamed, nodes[node], Options()).stats == build(state, node, Options()).stats


@pytest.mark.parametrize(
    ("closed", "source", "port", "passes"),
    [
        (frozenset[str](), "x/b", 80, True),
        (frozenset[str](), "y/a", 80, True),
        (frozenset[str](), "y/a", 81, False),
        # Its Accept matches nothing, and its Deny denies everything.
        (frozenset({"c"}), "x/b", 80, False),
        (frozenset({"c"}), "y/a", 80, False),
        (frozenset({"other"}), "x/b", 80, True),
    ],
)
def test_a_policy_that_is_quarantined_denies_where_it_denied(
    closed: frozenset[str], source: str, port: int, passes: bool
) -> None:
    policy = tier(
        subject=named("a"),
        ingress=[
            rule("Accept", named("b")),
            rule("Deny", PODS, protocols=[{"tcp": {"destinationPort": {"number": 81}}}]),
        ],
    )
    objects = [*recorded_world(), policy]
    addresses = {"x/b": "10.244.1.11", "y/a": "10.244.2.10"}
    connection = Connection(addresses[source], "10.244.1.10", "TCP", port)
    table = build(state_of(objects), "n1", Options(), closed).table
    seen = packet(connection, "n1", node_addresses(objects))
    assert seen is not None
    assert (Simulator(table).evaluate(seen).verdict == "accept") == passes


def test_the_administrators_policies_have_no_budget_and_cost_no_tenant() -> None:
    numbers = [{"tcp": {"destinationPort": {"number": 2 * n + 1}}} for n in range(25)]
    rules = [rule("Deny", named("b"), protocols=numbers) for _ in range(25)]
    objects = [*recorded_world(), tier(subject={"namespaces": {}}, ingress=rules)]
    tight = Options(policy_budget=10, namespace_budget=10)
    assert build(state_of(objects), "n1", tight).over == ()


def test_what_selects_pods_here_is_counted() -> None:
    objects = [*recorded_world(), tier(ingress=[rule("Deny", PODS)]), tier("idle", subject=named("none"))]
    stats = build(state_of(objects), "n1", Options()).stats
    assert (stats.policies, stats.isolated) == (1, 1)


def test_whom_a_policy_for_all_pods_denies_is_written_once() -> None:
    """However many isolations there are on the node, and however many pods it denies."""
    denied = [red(f"y/d{number}", f"10.250.0.{number}") for number in range(1, 101)]
    isolated = [ingress("x", name, {"ports": [{"port": 80}]}, name=name) for name in ("a", "v4")]
    admin = tier(subject={"namespaces": {}}, ingress=[rule("Deny", {"pods": RED})])
    table = build(state_of([*recorded_world(), *denied, *isolated, admin]), "n1", Options()).table
    holding = [part.name for part in table.parts if len(part.elements) >= len(denied)]
    assert [name.split("-")[0] for name in holding] == ["group4"]


def test_all_namespaces_are_others_for_an_administrator() -> None:
    """A namespace of which nothing is known is one of all (CNP-020), and no NetworkPolicy selects it."""
    pods = [red("y/p", Y), red("unknown/p", UNKNOWN)]
    isolates = ingress("y", "b", {"from": [RED], "ports": [{"port": 80}]})
    admin = tier(subject=named("a"), ingress=[rule("Deny", {"pods": RED})])
    state = state_of([*recorded_world(), *pods, isolates, admin], MissingNamespaces.UNKNOWN)
    table = build(state, "n1", Options()).table
    members = [part.elements for part in table.sets if part.name.startswith("group4")]
    groups = [{str(ip_address(a)) for a in of if isinstance(a, int)} for of in members]
    assert sorted(groups, key=len) == [{Y}, {Y, UNKNOWN}]


def red(path: str, address: str) -> Manifest:
    return pod(path, address, node="n2", metadata={"labels": {"team": "red"}})
