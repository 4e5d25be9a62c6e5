"""The loop on a fake kernel: one bad policy costs its own pods, failures are retried, nothing is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest

from policyd.agent.pacing import Burst, Pacing, due
from policyd.agent.reconciler import Reconciler, Target, Timing
from policyd.agent.store import ObjectStore
from policyd.applier.apply import Applier
from policyd.applier.backend import NftRefused, statement_at
from policyd.applier.fake import FakeNft
from policyd.cluster.events import KINDS, Delete, Synced
from policyd_compiler.options import Options
from tests.agent.agents import WORLD, policy
from tests.agent.loops import ALL_SYNCED, events, held
from tests.support.waiting import eventually


class Picky(FakeNft):
    """A kernel that does not like a word, wherever it stands."""

    def __init__(self, dislikes: str) -> None:
        super().__init__()
        self.dislikes = dislikes

    def _judge(self, script: str) -> None:
        for number, line in enumerate(script.splitlines(), start=1):
            if self.dislikes and self.dislikes in line:
                raise NftRefused("Invalid argument", number, statement_at(script, number))

    async def run(self, script: str) -> None:
        self._judge(script)
        await super().run(script)

    async def check(self, script: str) -> None:
        self._judge(script)
        await super().check(script)


@asynccontextmanager
async def loop(
    nft: FakeNft, node: str = "n1", **times: float
) -> AsyncIterator[tuple[ObjectStore, Reconciler]]:
    """A reconciler at work; stopped at the end."""
    wake = asyncio.Event()
    store = ObjectStore(node, wake)
    monitor = SimpleNamespace(suspicious=False)
    pacing = Pacing(settle=0.0, patience=0.01, rest=0.0)
    timing = Timing(pacing, **{"verify_every": 600.0, "sweep_after": 0.01, **times})
    reconciler = Reconciler(store, Applier(nft, "policyd"), monitor, Target(node, Options()), timing)
    task = asyncio.create_task(reconciler.run(wake))
    try:
        yield store, reconciler
    finally:
        reconciler.stop(wake)
        await task


async def test_nothing_is_written_before_every_kind_is_complete() -> None:

    nft = FakeNft()
    async with loop(nft) as (store, _):
        store.apply(events(WORLD))
        for kind in KINDS[:-1]:
            store.apply([Synced(kind)])
            for _ in range(20):
                await asyncio.sleep(0)  # a turn of the loop: the reconciler could begin
        assert (nft.scripts, store.waiting_for) == ([], (KINDS[-1],))
        # What was begun too early would not hold the policy, and another script would follow.
        store.apply([*events(policy("web", "web", 80)), Synced(KINDS[-1])])
        await eventually(lambda: "dport 80" in held(nft))
        assert len(nft.scripts) == 1


async def test_one_bad_policy_costs_only_its_own_pods() -> None:
    """Its pods are isolated and it allows nothing; the other policy is in force; it gets another chance."""
    nft = Picky("dport 666")
    async with loop(nft) as (store, reconciler):
        good, bad = policy("good", "db", 5432), policy("bad", "web", 666)
        store.apply([*events(f"{WORLD}---\n{good}---\n{bad}"), *ALL_SYNCED])
        await eventually(lambda: reconciler.status.enforced)
        assert reconciler.status.quarantined.keys() == {"shop/bad"}
        assert "5432" in held(nft)
        assert "ingress isolated by shop/bad" in held(nft)
        store.apply(events(policy("bad", "web", 667)))
        await eventually(lambda: reconciler.status.quarantined == {})
        assert "667" in held(nft)


async def test_of_two_policies_in_one_chain_only_the_culprit_is_closed() -> None:

    nft = Picky("dport { 80, 666")
    async with loop(nft) as (store, reconciler):
        both = f"{policy('one', 'web', 80)}---\n{policy('two', 'web', 666)}"
        store.apply([*events(f"{WORLD}---\n{both}"), *ALL_SYNCED])
        await eventually(lambda: reconciler.status.quarantined.keys() == {"shop/one"})
        assert "666" in held(nft)  # without either of them the kernel is content


@pytest.mark.parametrize("fault", ["refuse", "vanish", "vanish-after"])
@pytest.mark.parametrize("number", [1, 2, 3, 4])
async def test_after_a_failure_the_same_ruleset_is_reached(fault: str, number: int) -> None:
    """Whichever transaction fails, and however: what was in force stays, and it is tried again."""
    nft = FakeNft({number: fault})  # type: ignore[dict-item]
    async with loop(nft) as (store, reconciler):
        store.apply([*events(f"{WORLD}---\n{policy('web', 'web', 80)}"), *ALL_SYNCED])
        await eventually(lambda: reconciler.status.enforced)
        store.apply(events(policy("web", "web", 443)))
        await eventually(lambda: "443" in held(nft))
        await eventually(lambda: "dport 80" not in held(nft))
        await eventually(lambda: reconciler.status.trouble == "")
        whole = FakeNft()
        async with loop(whole) as (other, fresh):
            other.apply([*events(f"{WORLD}---\n{policy('web', 'web', 443)}"), *ALL_SYNCED])
            await eventually(lambda: fresh.status.enforced)
        await eventually(lambda: without_stamp(held(nft)) == without_stamp(held(whole)))


def without_stamp(text: str) -> list[str]:
    return [line for line in text.splitlines() if "generation" not in line]


async def test_leftovers_are_swept_though_changes_never_end() -> None:
    """Else the kernel and the agent would hold every ruleset since the last quiet moment."""
    nft = FakeNft()
    async with loop(nft, sweep_after=600.0, sweep_latest=0.05) as (store, reconciler):
        store.apply([*events(WORLD), *ALL_SYNCED])
        port = 1000

        def is_swept_while_it_changes() -> bool:
            nonlocal port
            port += 1
            store.apply(events(policy("web", "web", port)))
            return port > 1100 and held(nft).count("dport") == 1

        await eventually(is_swept_while_it_changes)
        assert reconciler.status.applies > 2


async def leave_something(store: ObjectStore, reconciler: Reconciler) -> None:
    """Let a ruleset with another port be in force, and what is left of the one before wait to be swept."""
    store.apply([*events(f"{WORLD}---\n{policy('web', 'web', 80)}"), *ALL_SYNCED])
    await eventually(lambda: reconciler.status.enforced)
    store.apply(events(policy("web", "web", 443)))
    await eventually(lambda: reconciler._applier.holds_leftovers)


async def test_a_new_pod_does_not_wait_until_leftovers_are_swept() -> None:

    nft = FakeNft()
    async with loop(nft, sweep_after=600.0, sweep_latest=600.0) as (store, reconciler):
        await leave_something(store, reconciler)
        assert "dport 80" in held(nft)
        reconciler._sweep_by = time.monotonic() - 1.0
        assert reconciler._next()[1] == reconciler._sweep
        reconciler._burst = Burst(time.monotonic(), time.monotonic(), urgent=True)
        assert reconciler._next()[1] == reconciler._converge
        reconciler._sweep_by -= 600.0  # for so long the kernel cannot grow
        assert reconciler._next()[1] == reconciler._sweep


async def test_leftovers_are_swept_before_the_kernel_is_compared() -> None:
    """They may be many times the ruleset, and to read them back takes seconds; a suspicion does not wait."""
    nft = FakeNft()
    async with loop(nft, sweep_after=600.0, sweep_latest=600.0) as (store, reconciler):
        await leave_something(store, reconciler)
        assert "dport 80" in held(nft)
        reconciler._verify_at = time.monotonic() - 1.0
        assert reconciler._next()[1] == reconciler._sweep
        reconciler._monitor.suspicious = True
        assert reconciler._next()[1] == reconciler._verify
        reconciler._monitor.suspicious = False
        store._wake.set()  # without a change, whose ruleset would leave something again
        await eventually(lambda: reconciler.status.verified)
        assert held(nft).count("dport") == 1


async def test_a_vanished_pod_leaves_the_ruleset() -> None:

    nft = FakeNft()
    async with loop(nft) as (store, reconciler):
        store.apply([*events(f"{WORLD}---\n{policy('web', 'web', 80)}"), *ALL_SYNCED])
        await eventually(lambda: reconciler.status.enforced)
        store.apply([Delete("Pod", "shop/web")])
        await eventually(lambda: "10.0.0.1" not in held(nft))


def test_a_burst_is_compiled_once_it_is_over_or_has_lasted() -> None:
    pacing = Pacing(settle=0.1, patience=1.0, rest=0.5)
    assert due(Burst(first=10.0, last=10.0), pacing, ended=0.0, took=0.0) == pytest.approx(10.1)
    assert due(Burst(first=10.0, last=10.99), pacing, ended=0.0, took=0.0) == pytest.approx(11.0)
    assert due(Burst(first=10.0, last=10.0), pacing, ended=9.9, took=0.0) == pytest.approx(10.4)
    assert due(Burst(first=10.0, last=10.0), pacing, ended=9.9, took=3.0) == pytest.approx(12.9)
    assert due(Burst(first=10.0, last=10.0, urgent=True), pacing, ended=9.9, took=3.0) == pytest.approx(10.1)
