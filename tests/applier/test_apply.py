"""Applying: what was in force stays until what follows is, whatever is refused on the way."""

from __future__ import annotations

import asyncio

import pytest

from policyd.applier.apply import Applier
from policyd.applier.backend import Nft, NftRefused, NftTooLarge
from policyd.errors import EnvironmentRefused
from policyd_compiler.nft.ast import Table, TableFamily
from policyd_compiler.nft.stamp import stamp
from policyd_compiler.plan import plan
from policyd_compiler.ruleset import names_of
from tests.applier.rulesets import NAME, OLD, compiled, content
from tests.cases.form import ingress, pods
from tests.fakes.fake_nft import FakeNft

NEW = compiled(ingress("x", None, {"from": [pods(pod="b")], "ports": [{"port": 443}]}))


class Garbled(FakeNft):
    """Lists half a listing, so many times."""

    times = 0

    async def list_table(self, name: str, family: TableFamily = "inet") -> str | None:
        """Half of one, or all of it."""
        text = await super().list_table(name, family)
        self.times -= 1
        return text if text is None or self.times < 0 else text[: len(text) // 2]


async def test_what_can_never_be_read_is_reported_and_replaced() -> None:
    nft = Garbled()
    applier = Applier(nft, NAME)
    await applier.apply(OLD)
    nft.times = 2
    (told,) = await applier.verify()
    assert "cannot be read: no listing of nft" in told
    await applier.apply(OLD)
    assert len(nft.scripts) == 2
    assert await applier.verify() == ()
    nft.times = 2
    assert await applier.read_back()


class Endless(FakeNft):
    """Lists more than anybody reads, so many times."""

    times = 0

    async def list_table(self, name: str, family: TableFamily = "inet") -> str | None:
        """Nothing of use, or a listing."""
        if family == "inet":
            self.times -= 1
            if self.times >= 0:
                raise NftTooLarge(1 << 20)
        return await super().list_table(name, family)


async def test_a_table_too_large_to_be_listed_is_replaced() -> None:
    """So it keeps nobody from starting; somebody else made it so large."""
    nft = Endless()
    await Applier(nft, NAME).apply(OLD)
    nft.times = 1
    applier = Applier(nft, NAME)
    assert await applier.read_back()
    await applier.apply(OLD)
    assert len(nft.scripts) == 2
    assert await applier.verify() == ()


async def test_our_own_table_that_is_too_large_to_be_listed_is_not_replaced_for_ever() -> None:
    nft = Endless()
    applier = Applier(nft, NAME)
    await applier.apply(OLD)
    nft.times = 3
    assert "too large to be listed" in (await applier.verify())[0]
    await applier.apply(OLD)
    for _ in range(2):
        with pytest.raises(EnvironmentRefused, match="it is in force, and cannot be verified"):
            await applier.verify()
    assert len(nft.scripts) == 2
    assert await applier.verify() == ()


async def test_what_was_cut_off_by_chance_is_read_again() -> None:
    nft = Garbled()
    applier = Applier(nft, NAME)
    await applier.apply(OLD)
    nft.times = 1
    assert await applier.verify() == ()
    assert len(nft.scripts) == 1


class Refusing:
    """A backend that refuses one script, the `number`-th, without asking anybody."""

    def __init__(self, nft: Nft, number: int) -> None:
        self._nft = nft
        self._number = number
        self.runs = 0

    async def run(self, script: str) -> None:
        self.runs += 1
        if self.runs == self._number:
            raise NftRefused("refused on purpose")
        await self._nft.run(script)

    async def check(self, script: str) -> None:
        await self._nft.check(script)

    async def list_table(self, name: str, family: TableFamily = "inet") -> str | None:
        return await self._nft.list_table(name, family)

    async def list_structure(self, name: str, family: TableFamily = "inet") -> str | None:
        return await self._nft.list_structure(name, family)

    async def close(self) -> None:
        await self._nft.close()

    def describe(self) -> str:
        return self._nft.describe()


async def test_the_first_apply_and_every_later_one_arrive(nft: Nft) -> None:
    applier = Applier(nft, NAME)
    kinds = []
    for generation, table in enumerate((OLD, NEW, OLD), start=1):
        applied = await applier.apply(table)
        await applier.sweep()
        kinds.append(applied.steps)
        assert applied.generation == generation
        assert await content(nft) == stamp(table, generation)
        assert await applier.verify() == ()
    assert kinds == [("replace",), ("stage", "commit"), ("stage", "commit")]
    assert (await applier.apply(OLD)).steps == ()


# With 1 the first ruleset has been applied.
@pytest.mark.parametrize(("number", "left"), [(2, OLD), (3, plan(NEW, OLD).leaves)], ids=["stage", "commit"])
async def test_what_is_refused_ends_the_apply_and_the_next_one_arrives(
    nft: Nft, number: int, left: Table
) -> None:
    """No later step is run; what was in force is, with what was staged next to it; nothing is done twice."""
    refusing = Refusing(nft, number)
    applier = Applier(refusing, NAME)
    await applier.apply(OLD)
    with pytest.raises(NftRefused, match="on purpose"):
        await applier.apply(NEW)
    assert refusing.runs == number
    table = await held(nft)
    assert {part.name for part in table.maps} == {part.name for part in left.maps}
    assert chain(table, "forward") == chain(stamp(OLD, 1), "forward")
    assert (await applier.apply(NEW)).generation == 2
    assert await applier.verify() == ()
    await applier.sweep()
    assert await content(nft) == stamp(NEW, 2)


def chain(table: Table, name: str) -> object:
    return next(chain.rules for chain in table.chains if chain.name == name)


async def test_the_generation_goes_on_from_what_the_kernel_holds(nft: Nft) -> None:
    for table in (OLD, NEW):
        await Applier(nft, NAME).apply(table)
    successor = Applier(nft, NAME)
    assert await successor.read_back()
    assert successor.generation == 2
    assert (await successor.apply(NEW)).steps == ()
    await successor.sweep()
    assert await content(nft) == stamp(NEW, 2)


async def test_removal_leaves_nothing(nft: Nft) -> None:
    applier = Applier(nft, NAME)
    for _ in range(2):
        await applier.apply(OLD)
        await applier.remove()
        assert await content(nft) is None


async def test_what_packets_may_have_come_to_while_they_were_waited_for_stays(nft: Nft) -> None:
    """Of the leftovers those go that were left when the wait began, and that nothing has led to since."""
    applier, gone = Applier(nft, NAME), asyncio.Event()
    for table in (OLD, NEW):
        await applier.apply(table)
    await applier.sweep_soon(gone.set)  # waits for packets in what is of OLD only
    walked = [applier.is_walked]
    assert names_of(await held(nft)) == names_of(OLD) | names_of(NEW)
    await applier.apply(OLD)  # they may be in that again, and in what is of NEW only
    await gone.wait()
    walked.append(applier.is_walked)
    assert walked == [True, False]
    await applier.sweep_soon(gone.set)
    assert names_of(await held(nft)) == names_of(OLD) | names_of(NEW)
    gone.clear()
    await applier.sweep_soon(gone.set)
    await gone.wait()
    await applier.sweep_soon(gone.set)
    assert await content(nft) == stamp(OLD, 3)
    assert not applier.holds_leftovers
    assert await applier.verify() == ()


async def test_what_was_left_before_a_further_swap_goes_though_more_is_left_by_it(nft: Nft) -> None:
    applier, gone = Applier(nft, NAME), asyncio.Event()
    for table in (OLD, NEW):
        await applier.apply(table)
    await applier.sweep_soon(gone.set)
    third = compiled(ingress("x", "b", {"ports": [{"port": 22}]}))
    await applier.apply(third)
    await gone.wait()
    await applier.sweep_soon(gone.set)
    assert names_of(await held(nft)) == names_of(NEW) | names_of(third)
    assert await applier.verify() == ()


async def held(nft: Nft) -> Table:
    table = await content(nft)
    assert table is not None
    return table
