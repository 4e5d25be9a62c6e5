"""Faults that a test can order from the fake."""

from __future__ import annotations

import asyncio

import pytest

from policyd.applier.backend import NftBroken, NftRefused
from tests.fakes.fake_nft import FakeNft

ADD = "add table inet t\n"


async def test_ordered_refusal_changes_nothing() -> None:
    nft = FakeNft({2: "refuse"})
    await nft.run("add table inet u\n")
    with pytest.raises(NftRefused):
        await nft.run(ADD)
    assert await nft.list_table("t") is None
    await nft.run(ADD)
    assert await nft.list_table("t") is not None


@pytest.mark.parametrize(("fault", "done"), [("vanish", False), ("vanish-after", True)])
async def test_a_planned_kill_does_not_say_whether_it_was_done(fault: str, done: bool) -> None:
    nft = FakeNft({1: fault})  # type: ignore[dict-item]
    with pytest.raises(NftBroken) as caught:
        await nft.run(ADD)
    assert caught.value.retryable
    assert (await nft.list_table("t") is not None) == done


async def test_ordered_hang_lasts_until_it_is_cancelled() -> None:
    nft = FakeNft({1: "hang"})
    request = asyncio.create_task(nft.run(ADD))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not request.done()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert await nft.list_table("t") is None


async def test_scripts_are_kept_for_the_test() -> None:
    nft = FakeNft()
    await nft.run(ADD)
    await nft.check("add table inet u\n")
    assert nft.scripts == [ADD]
