"""Killed or told to stop at any moment of an apply: the kernel holds one ruleset or the other, never half."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from itertools import count, pairwise
from pathlib import Path

import pytest

from policyd.applier.apply import Applier
from policyd.applier.backend import NftBroken
from policyd.applier.worker import NftWorker
from policyd.lab.namespace import Namespace
from policyd_compiler.nft.ast import Table
from policyd_compiler.nft.json_parser import parse_listing
from tests.agent.agents import write
from tests.cases.form import ingress, namespace, pod, pods, requirement
from tests.oracle import Manifest
from tests.reliability.kernel import TABLE, strip
from tests.reliability.process import Process
from tests.reliability.site import LISTING
from tests.reliability.states import NODE
from tests.routes import compile_world
from tests.support.waiting import until

pytestmark = pytest.mark.kernel

#: So many peers make an apply that takes some tenths of a second.
PEERS = 2500
ROUNDS, MOST_ROUNDS = 12, 100
LIVES = 3


@pytest.fixture
def node(nothing_left: None) -> Iterator[Namespace]:
    made = Namespace("node")
    yield made
    made.close()


def objects(count: int = PEERS) -> list[Manifest]:
    """A pod here, and many elsewhere."""
    peers = [
        pod(f"x/p{n}", f"10.244.{2 + n // 250}.{1 + n % 250}", node="n2", metadata={"labels": {"app": "p"}})
        for n in range(count)
    ]
    return [namespace("x"), pod("x/a", "10.244.1.1"), *peers]


def opened(port: int) -> Manifest:
    """Every peer may come in, by another sentence for each port."""
    stranger = requirement("app", "NotIn", f"q{port}")
    return ingress("x", "a", {"from": [pods(stranger, app="p")], "ports": [{"port": port}]})


def ruleset(port: int) -> Table:
    return strip(compile_world([*objects(PEERS - port % 2), opened(port)], NODE).table)


def held(node: Namespace) -> Table:
    """What the kernel holds."""
    listing = node.run([*LISTING, TABLE])
    assert listing.returncode == 0, listing.stderr
    found = parse_listing(listing.stdout, TABLE)
    assert found is not None
    return strip(found)


def holds(found: Table, wanted: Table) -> bool:
    """Whether a ruleset is there with all of its parts; nothing refers to what else may be there."""
    return (
        set(wanted.chains) <= set(found.chains)
        and set(wanted.sets) <= set(found.sets)
        and set(wanted.maps) <= set(found.maps)
    )


async def test_a_worker_killed_at_any_moment_leaves_a_whole_ruleset(node: Namespace) -> None:
    """And the next apply arrives, whatever the last one left."""
    rng = random.Random("transactions")
    tables = [ruleset(80), ruleset(81)]
    seen: set[int] = set()

    nft = NftWorker(node.path)
    applier = Applier(nft, TABLE)
    began = time.monotonic()
    await applier.apply(tables[0])
    took = time.monotonic() - began
    for number in count(1):
        if number > ROUNDS and seen == {0, 1}:
            break
        assert number < MOST_ROUNDS, f"every kill came on one side of the swap: {seen}"
        target = tables[number % 2]
        request = asyncio.create_task(applier.apply(target))
        await asyncio.sleep(rng.random() * 1.5 * took)
        assert nft._process is not None
        os.kill(nft._process._child.pid, signal.SIGKILL)
        with suppress(NftBroken):
            await request
        whole = [n for n, table in enumerate(tables) if holds(held(node), table)]
        assert whole, f"round {number}: neither ruleset is whole"
        seen.add((number - whole[0]) % 2)
        await applier.apply(target)
        await applier.sweep()
        assert held(node) == target
    await nft.close()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_agent_ended_at_any_moment_leaves_a_whole_ruleset(
    node: Namespace, tmp_path: Path, number: signal.Signals
) -> None:
    """Told to stop, it finishes what it does; killed, it leaves at most what nothing refers to."""
    rng = random.Random(number.name)
    directory = tmp_path / "manifests"
    directory.mkdir()
    world = objects(500)
    write(directory, "world.yaml", json.dumps({"apiVersion": "v1", "kind": "List", "items": world}))
    tables = [strip(compile_world([*world, opened(80 + life)], NODE).table) for life in range(LIVES + 1)]
    agent = Process(tmp_path, "--manifests", str(directory), "--node", NODE, "--log-format", "json")
    write(directory, "policy.yaml", json.dumps(opened(80)))
    try:
        for life, (before, after) in enumerate(pairwise(tables), start=81):
            with node.entered():
                agent.start()
            agent.wait_until_it_enforces()
            until(partial(is_held, node, before))
            write(directory, "policy.yaml", json.dumps(opened(life)))
            time.sleep(rng.random() * 0.6)
            code = agent.kill(number)
            assert code == (0 if number is signal.SIGTERM else -signal.SIGKILL), agent.told()
            found = held(node)
            assert holds(found, before) or holds(found, after)
    finally:
        agent.close()


def is_held(node: Namespace, wanted: Table) -> bool:
    """Whether just this is held."""
    listing = node.run([*LISTING, TABLE])
    return listing.returncode == 0 and held(node) == wanted
