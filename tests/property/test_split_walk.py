"""The law of split walks: wherever a transaction meets a packet, its verdict is the old one or the new one.

A packet looks at the rules of one generation, but each of its look-ups finds the elements of whatever is in
force by then (DESIGN, "How a ruleset replaces another").
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from policyd_compiler.nft.ast import Table
from policyd_compiler.nft.printer import print_replace
from policyd_compiler.plan import plan
from policyd_compiler.sim import Simulator
from tests.fakes.fake_nft import FakeNft
from tests.property.holding import held
from tests.routes import compile_world, node_addresses, packet
from tests.splits import ends, outcomes
from tests.strategies.worlds import connections, random_connections, random_world, worlds


def states(old: Table, new: Table) -> Iterator[tuple[str, Table]]:
    """What the kernel holds before the steps of a plan, and after each."""
    nft = FakeNft()
    asyncio.run(nft.run(print_replace(old)))
    yield "", old
    for step in plan(old, new).steps:
        asyncio.run(nft.run(step.script))
        found = held(nft)
        assert found is not None
        yield step.kind, found


@settings(max_examples=40)
@given(data=st.data())
def test_a_plan_gives_every_packet_the_old_verdict_or_the_new_one(data: st.DataObject) -> None:
    """Those of old rules are gone before a sweep, so each step meets packets of the rules before it only."""
    world, other = data.draw(worlds()), data.draw(worlds())
    seen = [
        packet(c, "n1", node_addresses(world)) for c in data.draw(st.lists(connections(world), min_size=4))
    ]
    old, new = (compile_world(objects, "n1").table for objects in (world, other))
    walked = [(kind, Simulator(table)) for kind, table in states(old, new)]
    for (_, before), (kind, after) in pairwise(walked):
        for one in filter(None, seen):
            assert outcomes(before, after, one) <= ends(before, after, one), (kind, one)


def test_without_a_wait_before_the_sweep_the_law_does_not_hold() -> None:
    """What this law would notice: the old maps are gone while packets still ask them."""
    rng, wrong = random.Random("sweep"), 0
    for _ in range(20):
        world, other = random_world(rng), random_world(rng)
        before, after = (Simulator(compile_world(objects, "n1").table) for objects in (world, other))
        for connection in random_connections(rng, world, 20):
            one = packet(connection, "n1", node_addresses(world))
            wrong += one is not None and not outcomes(before, after, one) <= ends(before, after, one)
    assert wrong
