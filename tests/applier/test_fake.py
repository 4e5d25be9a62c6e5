"""Faults that a test can order from the fake."""

from __future__ import annotations

import asyncio

import pytest

from policyd.applier.backend import NftBroken, NftRefused
from policyd.applier.fake import FakeNft

ADD = "add table inet t\n"


def test_ordered_refusal_changes_nothing(runner: asyncio.Runner) -> None:
    nft = FakeNft({2: "refuse"})
    runner.run(nft.run("add table inet u\n"))
    with pytest.raises(NftRefused):
        runner.run(nft.run(ADD))
    assert runner.run(nft.list_table("t")) is None
    runner.run(nft.run(ADD))
    assert runner.run(nft.list_table("t")) is not None


@pytest.mark.parametrize(("fault", "done"), [("vanish", False), ("vanish-after", True)])
def test_ordered_death_tells_nobody_whether_it_was_done(
    runner: asyncio.Runner, fault: str, done: bool
) -> None:
    nft = FakeNft({1: fault})  # type: ignore[dict-item]
    with pytest.raises(NftBroken) as caught:
        runner.run(nft.run(ADD))
    assert caught.value.retryable
    assert (runner.run(nft.list_table("t")) is not None) == done


def test_ordered_hang_lasts_until_it_is_cancelled(runner: asyncio.Runner) -> None:
    nft = FakeNft({1: "hang"})
    with pytest.raises(TimeoutError):
        runner.run(asyncio.wait_for(nft.run(ADD), 0.05))
    assert runner.run(nft.list_table("t")) is None


def test_scripts_are_kept_for_the_test(runner: asyncio.Runner) -> None:
    nft = FakeNft()
    runner.run(nft.run(ADD))
    runner.run(nft.check("add table inet u\n"))
    assert nft.scripts == [ADD]
