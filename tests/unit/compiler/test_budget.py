"""What is over its budget is found before it is compiled, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given

from bench import tenants
from bench.scenarios import NODE, Scale, cluster
from policyd.cluster.resolve import resolve
from policyd_compiler.budget import Budget, OverBudget, _Lists, _measure, _parts, _shares, over_budget
from policyd_compiler.driver import compile_snapshot
from policyd_compiler.ir import Snapshot
from policyd_compiler.options import Options
from tests.cases.form import block, ingress, namespace, pod
from tests.oracle import Manifest
from tests.reliability.states import decoded
from tests.strategies.snapshots import snapshots

SMALL = Budget(policy=2000, namespace=4000)


def closed(world: list[Manifest], budget: Budget) -> tuple[str, ...]:
    """The policies that are over the budget; without them nothing is."""
    state = decoded(world)
    over = frozenset(found.policy for found in over_budget(resolve(state, "n1").snapshot, budget))
    assert over_budget(resolve(state, "n1", over).snapshot, budget) == ()
    return tuple(sorted(over))


def neighbours() -> list[Manifest]:
    rules = [{"from": [block("10.0.0.0/8", "10.1.0.0/16")], "ports": [{"port": 80}]}]
    return [namespace("x"), pod("x/a", "10.0.0.1"), ingress("x", None, *rules, name="web")]


def test_no_cluster_that_was_measured_is_over_the_budget() -> None:
    for scale in (Scale(pods=1000, policies=200, local=100), Scale(pods=5000, policies=1000, local=110)):
        snapshot = resolve(decoded(cluster(scale)), NODE).snapshot
        assert over_budget(snapshot, Budget()) == ()


def test_a_policy_that_is_too_dear_alone_is_named_and_nobody_else() -> None:
    """Neither who selects the same pods nor a neighbour."""
    small = ingress("tenant", None, {"ports": [{"port": 443}]}, name="small")
    world = [*tenants.nested(120), small, *neighbours()]
    assert closed(world, SMALL) == ("tenant/nested",)
    (found,) = over_budget(resolve(decoded(world), "n1").snapshot, SMALL)
    assert found == OverBudget("tenant/nested", "it costs this node more than 2000 elements")


def test_of_a_namespace_that_is_too_dear_the_dearest_policies_are_named() -> None:
    """Many small ones are as dear as a large one; what is left is within the budget, and not nothing."""
    world = [*tenants.one_rule_policies(400), *neighbours()]
    large = ingress(
        "tenant",
        None,
        *({"from": [block(f"30.{n}.0.0/16")], "ports": [{"port": 1 + 2 * n}]} for n in range(40)),
    )
    over = closed([*world, large], SMALL)
    assert "tenant/p" in over
    assert all(policy.startswith("tenant/") for policy in over)
    assert len(over) < 400
    found = over_budget(resolve(decoded([*world, large]), "n1").snapshot, SMALL)
    assert {over.sentence for over in found} == {
        "the policies of namespace tenant cost this node more than 4000 elements, and it is among the dearest"
    }


def test_what_pods_of_other_nodes_have_costs_nothing_here() -> None:
    world = [*tenants.one_rule_policies(400), *neighbours()]
    state = decoded(
        [{**o, "spec": {**o["spec"], "nodeName": "n2"}} if o["kind"] == "Pod" else o for o in world]
    )
    assert over_budget(resolve(state, "n1").snapshot, SMALL) == ()


def test_to_divide_hosts_again_and_again_is_dear() -> None:
    """Selectors that each find another half of many pods: what they come to is small, finding it is not."""
    few, many = (
        cost(resolve(decoded(tenants.random_selectors(count)), "n1").snapshot) for count in (200, 800)
    )
    assert many - few > 600 * 150


@pytest.mark.parametrize("family", tenants.FAMILIES, ids=lambda family: family.world.__name__)
def test_a_cost_is_no_less_than_what_is_compiled(family: tenants.Family) -> None:
    """Elements of sets and maps, and what is in port chains, of a tenant who is alone on a node."""
    snapshot = resolve(decoded(family.world(min(family.sizes[0], 1200) // 4 * 4)), "n1").snapshot
    table = compile_snapshot(snapshot, Options()).table
    elements = sum(len(part.elements) for part in table.sets if part.name.startswith(("peer", "range")))
    elements += sum(len(part.elements) for part in table.maps if part.name.startswith(("peer", "range")))
    chains = sum(1 for chain in table.chains if chain.name.startswith("ports"))
    assert cost(snapshot) >= elements + chains


def cost(snapshot: Snapshot) -> int:
    return _measure(_parts(snapshot), _Lists.of(snapshot), frozenset(), 1 << 60)


@given(snapshots())
def test_a_cheap_look_never_says_less_than_measuring(snapshot: Snapshot) -> None:
    """Who is far below the budget at a glance need not be measured."""
    assert sum(_shares(_parts(snapshot)).values()) >= cost(snapshot)
