"""Agents killed at random moments while the cluster changes and packets flow: no leak, no loss.

`make soak` kills a hundred, POLICYD_KILLS says how many.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from tests.reliability.flows import Flows
from tests.reliability.site import Site, flows, make_lab, open_site
from tests.reliability.states import NODE
from tests.reliability.summary import show
from tests.setting import chosen_count

KILLS = chosen_count("POLICYD_KILLS", 6)

pytestmark = [pytest.mark.kernel, pytest.mark.slow, pytest.mark.timeout(1200 + 60 * KILLS)]

#: A life: from before the agent has read its configuration to after its first sweep, or some swaps more.
LIVES = (0.1, 0.5, 1.0, 1.5, 2.0, 3.0)
#: So many lives between two looks at everything.
LOOK_EVERY = 10


@asynccontextmanager
async def changing(site: Site, rng: random.Random) -> AsyncIterator[None]:
    """Let the cluster change all the time."""

    async def change() -> None:
        while True:
            site.churn.step()
            await asyncio.sleep(rng.random() * 0.03)

    task = asyncio.create_task(change())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def kill_and_kill(folder: Path) -> tuple[Site, Flows]:
    """Kill agent after agent; after some of them, and in the end, everything must be right."""
    rng = random.Random("kills")
    with make_lab() as lab, lab.nodes[NODE].entered():
        async with open_site(lab, 11, folder, "--backend", "library") as site:
            site.agent.start()
            await site.settle()
            began = time.monotonic()
            with flows(lab) as running:
                for number in range(1, KILLS + 1):
                    async with changing(site, rng):
                        await asyncio.sleep(rng.choice(LIVES) * rng.random())
                        site.agent.kill()
                        site.agent.start()
                    if number % LOOK_EVERY == 0 or number == KILLS:
                        await site.settle()
                        await site.judge()
                await running.arrive()
                assert running.leaks([]) == 0
                assert running.losses(began) == []
    return site, running


async def test_agents_that_are_killed_leave_no_leak_and_no_loss(
    nothing_left: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site, running = await kill_and_kill(tmp_path)
    assert site.agent.starts == KILLS + 1
    show(
        capsys,
        [
            ("agents killed", f"{KILLS}, during {site.churn.changes} changes of objects"),
            ("packets that flowed", f"{running.total}, none leaked, none lost"),
            ("packets judged", f"{site.judged}, all as the oracle says"),
            ("caught up", f"within {max(site.caught_up):.2f} s of the last start"),
        ],
    )
