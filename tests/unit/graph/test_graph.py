"""What a graph does not follow, and what a change costs it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policyd.cluster.state import ClusterState
from policyd.graph.graph import Graph, PodChange
from policyd.kube.objects import NamedPort, Namespace, NetworkPolicy, Pod
from policyd.pipeline import build
from policyd_compiler.options import Options
from tests.cases.form import block, egress, ingress, namespace, namespaces, pod, pods
from tests.oracle import Manifest
from tests.reliability.states import decoded

NODE = "n1"
HERE = [namespace("x"), namespace("y", team="green"), pod("x/a", "10.0.0.1")]


def graph_of(state: ClusterState) -> Graph:
    return Graph(build(state, NODE, Options()), state, NODE)


def remote(state: ClusterState, key: str) -> Pod:
    """A pod of another node, like one that there is."""
    return replace(state.pods[key], name="new", uid="new", v4=0x0A00FFFF, v6=None)


def is_followed(*world: Manifest, like: str, **more: object) -> bool:
    """Whether a graph of this world follows another pod like one of it."""
    state = decoded([*HERE, *world])
    new = replace(remote(state, like), **more)  # type: ignore[arg-type]
    return graph_of(state).change([PodChange("y/new", None, new)]) is not None


WEB = egress("x", "a", {"to": [namespaces(team="green")], "ports": [{"port": "web"}]})
EXPOSING = pod("y/b", "10.0.1.1", node="n2", ports=[{"name": "web", "containerPort": 80}])


def test_a_number_that_no_pod_had_behind_a_name_needs_a_rule() -> None:
    """NP-051: rules are made for the numbers that there are."""
    assert is_followed(WEB, EXPOSING, like="y/b")
    assert not is_followed(WEB, EXPOSING, like="y/b", ports=(NamedPort("web", "TCP", 81),))
    assert is_followed(WEB, EXPOSING, like="y/b", ports=(NamedPort("other", "TCP", 81),))


def test_a_block_gives_the_addresses_of_who_exposes_a_port() -> None:
    """NP-056: these are ranges, and no hosts."""
    rule = egress("x", "a", {"to": [block("10.0.0.0/8")], "ports": [{"port": "web"}]})
    assert not is_followed(rule, EXPOSING, like="y/b")
    assert is_followed(rule, EXPOSING, like="y/b", ports=())


def many(count: int) -> list[Manifest]:
    return [pod(f"y/p{n}", f"10.0.{1 + n // 200}.{n % 200}", node="n2") for n in range(count)]


@pytest.mark.parametrize(("count", "follows"), [(170, True), (171, False)])
def test_a_set_that_has_to_be_larger_has_another_name(count: int, follows: bool) -> None:
    rule = ingress("x", "a", {"from": [namespaces(team="green")]})
    assert is_followed(rule, *many(count), like="y/p0") == follows


@pytest.mark.parametrize(("count", "follows"), [(14, True), (17, False)])
def test_large_sets_of_ports_may_share_chains(count: int, follows: bool) -> None:
    """What shares with what depends on all sets of ports that are in use."""
    ports = [{"port": 2 * n} for n in range(1, count)]
    rules = [
        {"from": [pods(pod="b"), namespaces(team="green")], "ports": ports},
        {"from": [namespaces()], "ports": [{"port": 1000}]},
    ]
    assert is_followed(ingress("x", "a", *rules), EXPOSING, like="y/b") == follows


def test_a_verdict_of_which_there_is_no_chain_has_to_be_compiled() -> None:
    rules = [
        {"from": [namespaces(team="green")], "ports": [{"port": 1}]},
        {"from": [{**pods(pod="c"), **namespaces()}], "ports": [{"port": 2}]},
    ]
    world = [ingress("x", "a", *rules), EXPOSING]
    assert is_followed(*world, like="y/b")
    assert not is_followed(*world, like="y/b", labels=(("pod", "c"),))
    both = pod("y/c", "10.0.1.2", node="n2")
    assert is_followed(*world, both, like="y/c")
    state = decoded([*HERE, *world, both])
    gone = PodChange("y/c", state.pods["y/c"], None)
    assert graph_of(state).change([gone]) is None, "the chain goes with the last who needs it"


def test_a_graph_that_could_not_follow_is_of_no_use_any_more() -> None:
    state = decoded([*HERE, EXPOSING, ingress("x", "a", {"from": [namespaces(team="green")]})])
    graph = graph_of(state)
    new = remote(state, "y/b")
    assert graph.change([PodChange("x/a", state.pods["x/a"], None)]) is None
    assert graph.change([PodChange("y/new", None, new)]) is None


def test_policies_that_come_near_their_budget_are_measured() -> None:
    state = decoded([*HERE, EXPOSING, ingress("x", "a", {"from": [namespaces(team="green")]})])
    change = PodChange("y/new", None, remote(state, "y/b"))
    followed = {
        budget: Graph(build(state, NODE, options), state, NODE).change([change]) is not None
        for budget in (50, 10_000)
        for options in (Options(namespace_budget=budget, policy_budget=budget),)
    }
    assert followed == {50: False, 10_000: True}


def large(count: int) -> ClusterState:
    """A cluster of so many pods, with a tenth as many policies; what is on the node is always the same."""
    base = decoded(
        [
            *HERE,
            EXPOSING,
            WEB,
            *(
                ingress("x", "a", {"from": [namespaces(team=f"t{n}"), pods(app=f"a{n}")]}, name=f"p{n}")
                for n in range(8)
            ),
        ]
    )
    like, rule = base.pods["y/b"], base.policies["x/p0"]
    others = [Namespace(f"z{n}", (("team", f"t{n}"),)) for n in range(50)]
    more: list[Pod | NetworkPolicy] = [
        replace(
            like,
            namespace=f"z{n % 50}",
            name=f"p{n}",
            labels=(("app", f"a{n % 90}"),),
            v4=0x0A100000 + n,
            ports=(),
        )
        for n in range(count)
    ]
    more.extend(replace(rule, namespace=f"z{n % 50}", name=f"q{n}") for n in range(count // 10))
    return ClusterState.of([*base.objects(), *others, *more])


def costs(state: ClusterState) -> list[tuple[int, int]]:
    """The selectors and the elements that events take, one after another."""
    graph = graph_of(state)
    old = remote(state, "y/b")
    found = []
    for before, after in (
        (None, old),
        (old, replace(old, labels=(("app", "a1"),))),
        (replace(old, labels=(("app", "a1"),)), None),
        (None, replace(old, namespace="z2", labels=(("app", "a3"),))),
    ):
        graph.counts.selectors = graph.counts.elements = 0
        key = f"{(after or old).namespace}/new"
        assert graph.change([PodChange(key, before, after)]) is not None, graph.reason
        found.append((graph.counts.selectors, graph.counts.elements))
    return found


def test_a_change_costs_what_it_changes_however_large_the_cluster_is() -> None:
    small, other = costs(large(1_000)), costs(large(100_000))
    assert small == other
    assert sum(elements for _, elements in small) > 0
    assert max(selectors for selectors, _ in small) < 200
