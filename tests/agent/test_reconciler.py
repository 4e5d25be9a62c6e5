"""The loop on a fake kernel: one bad policy costs its own pods, failures are retried, nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest

from policyd.agent.builder import Target
from policyd.agent.reconciler import Reconciler
from policyd.applier.apply import Applier
from policyd.applier.backend import NftRefused, statement_at
from policyd.cluster.events import Delete, Synced
from policyd.kube.registry import KINDS
from policyd.object_store import ObjectStore
from policyd_compiler.options import Options
from tests.agent.agents import WORLD, policy
from tests.agent.loops import ALL_SYNCED, TIMING, events, held
from tests.fakes.fake_nft import FakeNft
from tests.support.elements import in_place_in
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
async def loop(nft: FakeNft, node: str = "n1") -> AsyncIterator[tuple[ObjectStore, Reconciler]]:
    """A reconciler at work; stopped at the end."""
    wake = asyncio.Event()
    store = ObjectStore(node, wake)
    monitor = SimpleNamespace(tampered=False)
    reconciler = Reconciler(
        store, Applier(nft, "policyd", elements=in_place_in(nft)), monitor, Target(node, Options()), TIMING
    )
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
        for kind in KINDS.names[:-1]:
            store.apply([Synced(kind)])
            for _ in range(20):
                await asyncio.sleep(0)  # a turn of the loop: the reconciler could begin
        assert (nft.scripts, store.waiting_for) == ([], (KINDS.names[-1],))
        # What was begun too early would not hold the policy, and another script would follow.
        store.apply([*events(policy("web", "web", 80)), Synced(KINDS.names[-1])])
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


async def test_a_vanished_pod_leaves_the_ruleset() -> None:

    nft = FakeNft()
    async with loop(nft) as (store, reconciler):
        store.apply([*events(f"{WORLD}---\n{policy('web', 'web', 80)}"), *ALL_SYNCED])
        await eventually(lambda: reconciler.status.enforced)
        store.apply([Delete("Pod", "shop/web")])
        await eventually(lambda: "10.0.0.1" not in held(nft))
