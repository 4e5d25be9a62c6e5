"""What a single failure must not cost: a repair, readiness, the end of a connection that is denied now."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest

from policyd.agent.builder import Target
from policyd.agent.pacing import Pacing
from policyd.agent.reconciler import LoopTiming, Reconciler
from policyd.agent.reporting.status import Swap
from policyd.applier.apply import Applier
from policyd.cluster.events import Synced
from policyd.kube.registry import KINDS
from policyd.object_store import ObjectStore
from policyd_compiler.changes import changed_addresses
from tests.cases.form import ingress, pod
from tests.oracle import Manifest
from tests.reliability.kernel import TABLE, Kernel
from tests.reliability.states import NODE, OPTIONS, compiled, decoded, upsert
from tests.support.elements import in_place_in
from tests.support.waiting import eventually

TIMING = LoopTiming(Pacing(0.0, 0.0, 0.0), verify_every=600.0, sweep_after=0.0, retry_least=0.001)
WORLD: list[Manifest] = [
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}},
    pod("x/a", "10.244.1.1", "fd00:10:244:1::1"),
]


class Agent:
    """A reconciler at work on a kernel that fails when it is told to."""

    def __init__(self) -> None:
        self.wake = asyncio.Event()
        self.kernel = Kernel()
        self.store = ObjectStore(NODE, self.wake)
        self.monitor = SimpleNamespace(tampered=False)
        applier = Applier(self.kernel, TABLE, elements=in_place_in(self.kernel, TABLE))
        self.reconciler = Reconciler(self.store, applier, self.monitor, Target(NODE, OPTIONS), TIMING)
        self.swaps: list[Swap] = []
        self.reconciler.on_swap.append(self.swaps.append)

    def say(self, *raws: Manifest) -> None:
        self.store.apply([upsert(raw) for raw in raws])

    def tamper(self, script: str) -> None:
        self.kernel.tamper(script)
        self.monitor.tampered = True
        self.wake.set()


@asynccontextmanager
async def at_work() -> AsyncIterator[Agent]:
    """An agent that enforces WORLD."""
    agent = Agent()
    agent.say(*WORLD)
    agent.store.apply([Synced(kind) for kind in KINDS.names])
    task = asyncio.create_task(agent.reconciler.run(agent.wake))
    try:
        await eventually(lambda: agent.reconciler.status.enforced)
        yield agent
    finally:
        agent.reconciler.stop(agent.wake)
        await task


async def test_a_verification_that_fails_is_tried_again_soon() -> None:
    """Else what somebody changed would stay until the next one that is due anyway."""
    async with at_work() as agent:
        right = agent.kernel.held()
        agent.kernel.coming["list"] = ["vanish", "vanish"]
        agent.tamper(f"delete table inet {TABLE}\n")
        await eventually(lambda: agent.kernel.held() == right)


async def test_a_failure_to_verify_is_over_when_it_is(caplog: pytest.LogCaptureFixture) -> None:
    """Without a change, too, of which there may be none for days."""
    async with at_work() as agent:
        agent.kernel.coming["list"] = ["vanish"]
        agent.monitor.tampered = True
        agent.wake.set()
        await eventually(lambda: "the ruleset could not be" in caplog.text)
        await eventually(lambda: not agent.reconciler.status.trouble)


async def test_no_policy_is_quarantined_for_a_foreign_change() -> None:
    """A ruleset that is deleted under our hands makes the kernel refuse our next script, not our policies."""
    async with at_work() as agent:
        first, second = (ingress("x", "a", {"ports": [{"port": port}]}) for port in (80, 81))
        agent.say(first)
        await eventually(lambda: agent.kernel.held() == compiled(decoded([*WORLD, first])))
        agent.kernel.tamper(f"delete table inet {TABLE}\n")  # it is not noticed yet
        agent.say(second)
        await eventually(lambda: agent.kernel.held() == compiled(decoded([*WORLD, second])))
        assert agent.reconciler.status.quarantined == {}


@pytest.mark.parametrize("further", [[], [pod("x/b", "10.244.1.2")]], ids=["the same", "another"])
async def test_an_unnoticed_swap_is_reported_once_it_is_known(
    further: list[Manifest], caplog: pytest.LogCaptureFixture
) -> None:
    """The worker died when all was done: connections that are denied now must end nevertheless."""
    async with at_work() as agent:
        agent.kernel.coming = {"run": [None, "vanish-after"], "list": ["vanish"] * 3}  # stage, commit
        told = len(agent.swaps)
        agent.say(ingress("x", "a"))
        await eventually(lambda: "the ruleset could not be" in caplog.text)
        agent.say(*further)
        await eventually(lambda: not agent.reconciler.status.trouble)
        assert changed(agent.swaps[told:]) == addresses("10.244.1.1")


async def test_what_was_in_force_unnoticed_counts_as_before(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Open, closed and unheard of, open, closed again: connections of any of these times must end."""
    async with at_work() as agent:
        agent.say(ingress("x", "a"))
        await eventually(lambda: len(agent.swaps) == 2)
        agent.kernel.coming["run"] = [None, "vanish-after"]
        agent.kernel.coming["list"] = ["vanish"] * 3
        agent.say(ingress("x", "a", {}))
        await eventually(lambda: "the ruleset could not be" in caplog.text)
        agent.say(ingress("x", "a"))
        await eventually(lambda: not agent.reconciler.status.trouble)
        assert changed(agent.swaps[2:]) == addresses("10.244.1.1")


def changed(swaps: list[Swap]) -> frozenset[int]:
    """The IPv4 addresses whose connections are looked at."""
    return frozenset(a for swap in swaps for a in changed_addresses(swap.before, swap.after)[4])


def addresses(*texts: str) -> frozenset[int]:
    return frozenset(int.from_bytes(bytes(map(int, text.split(".")))) for text in texts)
