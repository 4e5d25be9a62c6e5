"""An agent for a long time on a node with real pods, while everything around it fails, itself included.

`make soak` runs five minutes of it, SOAK_SECONDS says how many. The first part is one agent's life, and
its memory may not grow; in the second it is killed again and again.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.agent.agents import nft, run
from tests.reliability.flows import Flows, Span
from tests.reliability.kernel import TABLE
from tests.reliability.process import Footprint
from tests.reliability.site import SPARE, Site, flows, make_lab, open_site
from tests.reliability.states import NODE
from tests.reliability.summary import show
from tests.setting import chosen_number

SECONDS = chosen_number("POLICYD_SOAK_SECONDS", 25.0)

# What the rounds take beyond their time is the machine's doing.
pytestmark = [pytest.mark.kernel, pytest.mark.slow, pytest.mark.timeout(2 * SECONDS + 1200)]

#: The agent's first life takes so much of the time.
FIRST_LIFE = 0.6
#: MiB: what caches, arenas and the log's last lines may take beyond what was held after the warming up.
GROWTH = 24.0
#: Connections that are being made again, threads that the pool has not started yet.
FILES, THREADS = 8, 6
OPENING = (
    f"delete table inet {TABLE}\n",
    f"flush chain inet {TABLE} forward\n",
    f"insert rule inet {TABLE} forward accept\n",
)
HARMLESS = (
    f"add chain inet {TABLE} foreign\n",
    f"add counter inet {TABLE} foreign\n",
    f"add rule inet {TABLE} forward tcp dport 1 drop\n",
)


@dataclass(slots=True)
class Tally:
    """What was done, and what came of it."""

    rounds: int = 0
    kills: int = 0
    workers: int = 0
    foreign: int = 0
    opened: list[Span] = field(default_factory=list)
    footprints: list[Footprint] = field(default_factory=list)


class Soak:
    """Rounds of churn and failure, each followed by a look at everything."""

    def __init__(self, site: Site, rng: random.Random, tally: Tally) -> None:
        self.site, self.rng, self.tally = site, rng, tally
        self._spare = False

    async def run(self, seconds: float) -> None:
        began = time.monotonic()
        await self.site.settle()
        await self.site.judge()
        while (passed := time.monotonic() - began) < seconds:
            await self._round(mortal=passed > seconds * FIRST_LIFE)
            self.tally.rounds += 1

    async def _round(self, *, mortal: bool) -> None:
        for _ in range(self.rng.randrange(20, 60)):
            self.site.churn.step()
            if self.rng.random() < 0.1:
                self.site.churn.fail()
            if self.rng.random() < 0.05:
                self._kill_worker()
            if self.rng.random() < 0.03:
                await self._move_pod()
            if mortal and self.rng.random() < 0.06:
                self._kill_agent()
            await asyncio.sleep(self.rng.random() * 0.1)
        await self.site.settle()
        await self.site.judge()
        if not mortal:
            self.tally.footprints.append(self.site.agent.footprint())
        if self.rng.random() < 0.5:
            await self._interfere()

    def _kill_worker(self) -> None:
        for pid in self.site.agent.children():
            os.kill(pid, signal.SIGKILL)
            self.tally.workers += 1

    def _kill_agent(self) -> None:
        self.site.agent.kill()
        self.site.agent.start()
        self.tally.kills += 1

    async def _move_pod(self) -> None:
        """Connect a pod to the node, or disconnect it, that no policy knows."""
        if self._spare:
            await asyncio.to_thread(self.site.lab.remove_pod, SPARE.name)
        else:
            await asyncio.to_thread(self.site.lab.add_pods, NODE, SPARE)
        self._spare = not self._spare

    async def _interfere(self) -> None:
        """Somebody else writes into the table, perhaps so that everything is open until it is repaired."""
        opens = self.rng.random() < 0.5
        began = time.monotonic()
        self.site.tamper(self.rng.choice(OPENING if opens else HARMLESS))
        self.tally.foreign += 1
        await self.site.settled(self.site.churn.state())
        if opens:
            self.tally.opened.append((began, time.monotonic()))


async def soak(seconds: float, folder: Path) -> list[tuple[str, str]]:
    """Run for so long; what is found is told when all holds."""
    tally = Tally()
    with make_lab() as lab, lab.nodes[NODE].entered():
        async with open_site(lab, 7, folder, "--backend", "library", "--verify-interval", "5") as site:
            site.agent.start()
            await site.settled(site.churn.state())
            began = time.monotonic()
            with flows(lab) as running:
                await Soak(site, random.Random("soak"), tally).run(seconds)
                await running.arrive()
                judge_flows(running, began, tally)
            judge_footprints(tally.footprints)
            assert site.agent.footprint().zombies == 0
            worker = site.agent.children()
            assert site.agent.kill(signal.SIGTERM) == 0
            assert [pid for pid in worker if runs(pid)] == []
        assert run(lab.nodes[NODE], "cleanup").returncode == 0
        assert TABLE not in nft(lab.nodes[NODE], "list", "tables")
    return table(site, tally, running)


def runs(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def judge_flows(running: Flows, began: float, tally: Tally) -> None:
    """What must not pass never did, but while somebody else held the door open; what must pass always did."""
    assert running.leaks(tally.opened) == 0
    losses = [last - first for first, last in running.losses(began)]
    assert losses == []
    assert min(running.count("denied"), running.count("allowed"), running.count("established")) > 100


def judge_footprints(footprints: list[Footprint]) -> None:
    """One life's memory, files and threads are as in its beginning; what it started, it has taken back."""
    warm, *later = footprints[len(footprints) // 3 :]
    for now in later:
        assert now.memory < warm.memory + GROWTH, footprints
        assert now.files < warm.files + FILES, footprints
        assert now.threads < warm.threads + THREADS, footprints
    assert {now.zombies for now in footprints} == {0}, footprints
    assert max(now.children for now in footprints) <= 2, footprints  # the worker, and at times a proof


def table(site: Site, tally: Tally, running: Flows) -> list[tuple[str, str]]:
    """The run in numbers."""
    first, last = tally.footprints[0], tally.footprints[-1]
    sent = {kind: running.count(kind) for kind in ("denied", "allowed", "established")}
    shut = max((last - first for first, last in tally.opened), default=0.0)
    return [
        ("changes of objects", f"{site.churn.changes}"),
        ("faults of the API server", f"{site.churn.faults}"),
        ("nft worker killed", f"{tally.workers}"),
        ("agent killed", f"{tally.kills}"),
        ("somebody else wrote", f"{tally.foreign} times"),
        ("... and opened everything", f"{len(tally.opened)} times, shut within {shut:.2f} s"),
        ("... packets that leaked then", f"{running.leaks([])}"),
        ("rounds", f"{tally.rounds}, caught up within {max(site.caught_up):.2f} s of the last fault"),
        ("packets judged", f"{site.judged}, all as the oracle says"),
        ("packets that flowed", ", ".join(f"{count} {kind}" for kind, count in sent.items())),
        ("... leaked otherwise, lost", "0, 0"),
        ("memory", f"{first.memory:.1f} MiB at first, {last.memory:.1f} MiB at last"),
        ("files, threads", f"{first.files}, {first.threads} at first, {last.files}, {last.threads} at last"),
    ]


async def test_an_agent_lives_through_everything(
    nothing_left: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = await soak(SECONDS, tmp_path)
    show(capsys, rows)
