"""Histories of clusters, followed and brought into force: nothing is refused, and the kernel holds it all."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass

import pytest

from policyd.applier.apply import Applier
from policyd.applier.backend import Nft
from policyd.applier.in_place import Difference, InPlace
from policyd.applier.worker import NftWorker
from policyd.cluster.state import MissingNamespaces
from policyd.graph.changes import Step, in_turn
from policyd.graph.graph import Graph
from policyd.lab.namespace import Namespace
from policyd.netlink.elements import ElementWriter
from policyd.pipeline import build
from policyd_compiler.nft.ast import Table
from policyd_compiler.nft.stamp import stamp
from policyd_compiler.options import Options
from tests.applier.rulesets import NAME, content
from tests.fakes.fake_nft import FakeNft
from tests.property.holding import bare
from tests.strategies.histories import NODE, PLAIN, Event, changed, history

EVENTS = 30
#: With one in which elements were believed to be written that were not.
SEEDS = (0, 1, 2, 3, 4, 5, 8038)


@dataclass(frozen=True, slots=True)
class Kernel:
    """An applier, and what it writes by."""

    nft: Nft
    applier: Applier


@pytest.fixture(params=["fake", pytest.param("kernel", marks=pytest.mark.kernel)])
async def kernel(request: pytest.FixtureRequest) -> AsyncIterator[Kernel]:
    if request.param == "fake":
        nft = FakeNft()
        yield Kernel(nft, Applier(nft, NAME, elements=InPlace(NAME, nft, atomic=True, wait=lambda: None)))
        return
    with closing(Namespace("histories")) as namespace:
        with namespace.entered():
            writer = ElementWriter()
        worker = NftWorker(namespace.path)
        yield Kernel(worker, Applier(worker, NAME, elements=InPlace(NAME, writer, atomic=True)))
        await worker.close()
        writer.close()


def follow(graph: Graph, last: Event, event: Event) -> list[Step] | None:
    """All rulesets up to that of an event; None where it has to be compiled."""
    steps = []
    groups = in_turn(changed(last.state, event.state), NODE)
    for group in groups:
        step = graph.change(group, event.state.attachments if group is groups[-1] else None)
        if step is None:
            return None
        steps.append(step)
    return steps


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_history_is_followed_in_the_kernel(
    kernel: Kernel, seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    applier = kernel.applier
    rng, ways = random.Random(seed), Counter[str]()
    graph: Graph | None = None
    last: Event | None = None
    table: Table | None = None
    for event in history(rng, PLAIN, rng.choice(list(MissingNamespaces)), EVENTS):
        table = build(event.state, NODE, Options()).table
        steps = follow(graph, last, event) if graph is not None and last is not None else None
        for step in steps or ():
            known = None if step.changes is None else Difference(step.since.table, step.changes)
            ways[" ".join((await applier.apply(step.ruleset.table, known)).steps)] += 1
        if steps is None:
            graph = Graph(build(event.state, NODE, Options()), event.state, NODE)
            await applier.apply(table)
        last = event
        if rng.random() < 0.3:
            await applier.sweep()
        if rng.random() < 0.1:
            await applier.apply(table, exact=True)
        if rng.random() < 0.05:
            assert await applier.verify() == ()
    assert table is not None
    await applier.apply(table, exact=True)
    await applier.sweep()
    await applier.apply(table, exact=True)
    await applier.sweep()
    assert await applier.verify() == ()
    held = await content(kernel.nft)
    assert held is not None
    assert bare(held) == bare(stamp(table, applier.generation))
    assert not caplog.records
    assert ways["elements"], ways
    assert any("commit" in way for way in ways), ways
