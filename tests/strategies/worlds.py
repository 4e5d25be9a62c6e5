"""What property tests and kernel tests draw from: worlds of raw manifests, and packets for them."""

from __future__ import annotations

import random

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from tests.oracle import Connection, Manifest
from tests.strategies.chooser import Chooser, DrawChooser, RandomChooser
from tests.strategies.clusters import Shape, cluster
from tests.strategies.packets import aims, connection
from tests.strategies.policies import policy
from tests.strategies.tiers import tier_policy

ANY_SHAPE = Shape()


@st.composite
def clusters(draw: DrawFn, shape: Shape = ANY_SHAPE) -> list[Manifest]:
    """Draw nodes, namespaces and pods."""
    return cluster(DrawChooser(draw), shape)


@st.composite
def policies(draw: DrawFn, objects: list[Manifest], shape: Shape = ANY_SHAPE) -> list[Manifest]:
    """Draw NetworkPolicies for a cluster."""
    return _policies(DrawChooser(draw), objects, shape)


@st.composite
def worlds(draw: DrawFn, shape: Shape = ANY_SHAPE) -> list[Manifest]:
    """Draw a cluster with its NetworkPolicies, in any order."""
    return draw(st.permutations(_world(DrawChooser(draw), shape)))


def connections(objects: list[Manifest]) -> SearchStrategy[Connection]:
    """Draw a packet aimed at the edges of these manifests."""
    aim = aims(objects)

    @st.composite
    def one(draw: DrawFn) -> Connection:
        return connection(DrawChooser(draw), aim)

    return one()


def random_world(rng: random.Random, shape: Shape = ANY_SHAPE) -> list[Manifest]:
    """Choose a world as `worlds` does, from a seed."""
    objects = _world(RandomChooser(rng), shape)
    rng.shuffle(objects)
    return objects


def random_connections(rng: random.Random, objects: list[Manifest], count: int) -> list[Connection]:
    """Choose packets as `connections` does, from a seed."""
    aim, chooser = aims(objects), RandomChooser(rng)
    return [connection(chooser, aim) for _ in range(count)]


def _world(chooser: Chooser, shape: Shape) -> list[Manifest]:
    objects = cluster(chooser, shape)
    return [*objects, *_policies(chooser, objects, shape)]


def _policies(chooser: Chooser, objects: list[Manifest], shape: Shape) -> list[Manifest]:
    count = chooser.number(shape.least_policies, shape.policies)
    found = [policy(chooser, f"np{number}", objects, shape) for number in range(count)]
    tiers = chooser.number(0, shape.tiers) if shape.tiers else 0
    names = (f"cnp{number}" for number in range(tiers))
    return [*found, *(tier_policy(chooser, name, objects, strange=shape.strange_tiers) for name in names)]
