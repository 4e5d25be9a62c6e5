"""What would cost too much is closed before its rules are resolved, and nothing else is."""

from __future__ import annotations

from bench import tenants
from policyd.cluster.isolations import NAMED_QUARANTINED
from policyd.cluster.resolve import resolve
from policyd.pipeline import build
from policyd_compiler.budget import UNBOUNDED, Budget
from policyd_compiler.options import Options
from tests.cases.form import ingress, namespace, pod, pods
from tests.oracle import Manifest
from tests.reliability.states import decoded
from tests.support.counting import lines_run

PODS = 20
SMALL = Budget(policy=2000, namespace=4000)


def over(world: list[Manifest], budget: Budget = SMALL) -> dict[str, str]:
    found = resolve(decoded(world), "n1", budget=budget).over
    return {each.policy: each.sentence for each in found}


def crowd(count: int, *rules: Manifest) -> list[Manifest]:
    """Pods of which each is under all of these policies but a few of its own."""
    here = [pod(f"x/p{n}", f"10.0.0.{n + 1}", metadata={"labels": {f"b{n}": "yes"}}) for n in range(PODS)]
    policies = [ingress("x", None, *rules, name=f"np{n}") for n in range(count)]
    for n, policy in enumerate(policies):
        policy["spec"]["podSelector"] = {
            "matchExpressions": [{"key": f"b{n % PODS}", "operator": "DoesNotExist"}]
        }
    return [namespace("x"), *here, *policies]


def test_a_port_name_for_many_pods_with_another_number_each_is_not_even_resolved() -> None:
    """Their product would be resolved before anybody could say that it is too much."""
    assert over(tenants.named_ingress(200), Budget()) == {"tenant/named": Budget().of_policy()}
    once, twice = (decoded(tenants.named_ingress(count)) for count in (200, 400))
    more = lines_run(lambda: build(twice, "n1", Options())) - lines_run(lambda: build(once, "n1", Options()))
    assert more < 20 * 200


def test_what_is_within_the_budget_when_counted_is_left_to_be_measured() -> None:
    assert over(tenants.nested(100)) == {}
    assert over(tenants.one_rule_policies(4000), UNBOUNDED) == {}


def test_peers_ports_and_excepts_are_counted_as_they_are_written() -> None:
    """A peer that selects nobody is no element, but takes its time."""
    nobody = [pods(no=f"body{n}") for n in range(1000)]
    ports = [{"port": n} for n in range(1, 1001)]
    world = [namespace("x"), pod("x/a", "10.0.0.1")]
    assert over([*world, ingress("x", None, {"from": nobody, "ports": ports}, name="long")]) == {
        "x/long": SMALL.of_policy()
    }
    assert over([*world, ingress("x", None, {"from": nobody}, name="short")]) == {}


def test_policies_without_rules_cost_what_it_takes_to_note_them() -> None:
    """Of a namespace too dear the dearest go, the first by name of those that cost as much."""
    found = over(crowd(100))
    assert set(found.values()) == {SMALL.of_namespace("x")}
    assert 0 < len(found) < 100
    assert build(decoded(crowd(100)), "n1", Options()).over == ()


def test_quarantined_policies_isolate_and_most_are_not_noted() -> None:
    """A pod is isolated by one as by thousands."""
    world = crowd(100)
    state = decoded(world)
    every = frozenset(state.policies)
    snapshot = resolve(state, "n1", every).snapshot
    assert [endpoint.key for endpoint in snapshot.endpoints if endpoint.ingress is None] == []
    for endpoint in snapshot.endpoints:
        assert endpoint.ingress is not None
        assert len(endpoint.ingress.policies) <= NAMED_QUARANTINED
        assert [stage.rules for stage in endpoint.ingress.stages] == [()]
    assert build(state, "n1", Options(), every).stats.policies == 100
