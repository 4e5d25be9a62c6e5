"""The law of tests/property/test_meaning.py for worlds so large that chains share sets and have many classes.

What is shared, merged and noted apart depends on thresholds. They are drawn, too, so that a world of some
hundred pods meets what otherwise takes ten thousand.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from policyd_compiler import layout, room
from policyd_compiler.lower import chains, classes
from policyd_compiler.lower.classes import Classes, HostIndex
from policyd_compiler.lower.sharing import Class, own_classes
from policyd_compiler.sim import Simulator
from tests.oracle import Manifest, Oracle
from tests.routes import compile_world, node_addresses, not_proved, packet, state_of
from tests.strategies.clusters import Shape
from tests.strategies.worlds import random_connections, random_world

NODES = ("n1", "n2", "n3")
SHAPES = (
    Shape(least_pods=40, pods=120, least_policies=10, policies=20),
    Shape(least_pods=40, pods=200, least_policies=10, policies=20, open_rules=False),
    Shape(least_pods=200, pods=400, least_policies=15, policies=30, open_rules=False),
)
PROBES = 150
#: Each world takes as long as some small ones.
EXAMPLES = max(10, settings().max_examples // 6)

thresholds = st.fixed_dictionaries(
    {
        "MOST_SHARED": st.sampled_from([0, 1, 2, 3, 8]),
        "LEAST_CAPACITY": st.sampled_from([1, 16, 256]),
        "FEW_HOSTS": st.sampled_from([0, 1, 4, 40]),
    }
)
PLACES = {
    "MOST_SHARED": layout,
    "LEAST_CAPACITY": room,
    "FEW_HOSTS": classes,
}


#: How many groups a chain asks, and how many classes stand in its own set or map.
Sharing = tuple[int, int]


@contextmanager
def at(chosen: dict[str, int]) -> Iterator[list[Sharing]]:
    """Compile with these thresholds; gives what chains share."""
    shared: list[Sharing] = []

    def noting(of: Classes, groups: tuple[Class, ...]) -> tuple[Class, ...]:
        own = own_classes(of, groups)
        shared.append((len(groups), len(own)))
        return own

    with pytest.MonkeyPatch.context() as patch:
        for name, value in chosen.items():
            patch.setattr(PLACES[name], name, value)
        patch.setattr(chains, "own_classes", noting)
        yield shared


def world_of(seed: int) -> tuple[random.Random, list[Manifest]]:
    rng = random.Random(seed)
    return rng, random_world(rng, rng.choice(SHAPES))


# A smaller seed is no smaller world.
@settings(max_examples=EXAMPLES, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(seed=st.integers(0, 1 << 32), chosen=thresholds)
def test_every_node_does_what_the_oracle_says(seed: int, chosen: dict[str, int]) -> None:
    rng, world = world_of(seed)
    oracle, own = Oracle(world), node_addresses(world)
    with at(chosen):
        builds = {node: compile_world(world, node) for node in NODES}
    for node, built in builds.items():
        assert not not_proved(state_of(world), node, built)
    simulators = {node: Simulator(built.table) for node, built in builds.items()}
    for connection in random_connections(rng, world, PROBES):
        for node, simulator in simulators.items():
            seen = packet(connection, node, own)
            if seen is not None:
                trace = simulator.evaluate(seen)
                expected = oracle.node_verdict(connection, node)
                assert (trace.verdict == "accept") == expected, (
                    f"node {node}: {oracle.explain(connection, node)}\n" + "\n".join(trace.steps)
                )


def test_worlds_of_this_size_share_sets_and_classes() -> None:
    """Else the law above would hold for want of anything to share."""
    asked: list[Sharing] = []
    for seed in range(8):
        _, world = world_of(seed)
        with at({}) as shared:
            compile_world(world, "n1")
        asked += shared
    assert sum(groups > 1 for groups, _ in asked) > 5
    assert sum(own > 1 for _, own in asked) > 5
    assert any(groups and own for groups, own in asked)


def test_thresholds_are_where_they_are_drawn() -> None:
    assert {name for name, place in PLACES.items() if hasattr(place, name)} == set(PLACES)
    assert HostIndex is classes.HostIndex
