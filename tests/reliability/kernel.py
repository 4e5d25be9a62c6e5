"""A fake kernel that fails when it is told to, and a look at what it holds after every script."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import replace
from typing import Literal, TypeAlias, TypeVar

from policyd.applier.backend import NftBroken
from policyd_compiler.nft.ast import Table, TableFamily
from policyd_compiler.nft.commands import Change
from policyd_compiler.nft.json_parser import ForeignContent, parse_listing
from policyd_compiler.nft.stamp import unstamp
from tests.fakes.fake_nft import FakeNft, Fault

TABLE = "policyd"
#: How long a worker that hangs is waited for.
PATIENCE = 0.002

#: What goes wrong with a call: a listing knows only `vanish`, and takes everything else for it.
TROUBLES: tuple[Fault, ...] = ("refuse", "hang", "vanish", "vanish-after")

T = TypeVar("T")
Looker: TypeAlias = Callable[[Table | None], None]
Call: TypeAlias = Literal["run", "list"]


class Kernel(FakeNft):
    """FakeNft, told on the way what goes wrong. `look` gets what is held after every script."""

    def __init__(self, look: Looker = lambda _: None) -> None:
        super().__init__()
        self.look = look
        self.coming: dict[Call, list[Fault | None]] = {"run": [], "list": []}

    async def run(self, script: str) -> None:
        """Run a script, or do with it what is coming."""
        fault = self._take("run")
        self._faults = {len(self.scripts) + 1: fault} if fault else {}
        try:
            async with asyncio.timeout(PATIENCE if fault == "hang" else None):
                await super().run(script)
        except TimeoutError:
            raise NftBroken("the worker process did not answer and was killed", retryable=True) from None
        finally:
            self.look(self.held())

    def write(self, table: str, inet: Iterable[Change]) -> None:
        """Change elements, or do with it what is coming; the kernel does not let anybody wait for ever."""
        fault = self._take("run")
        self._faults = {len(self.scripts) + 1: fault} if fault else {}
        try:
            super().write(table, inet)
        finally:
            self.look(self.held())

    async def list_table(self, name: str, family: TableFamily = "inet") -> str | None:
        """List, or fail if that is coming."""
        if self._take("list"):
            raise NftBroken("the worker process ended", retryable=True)
        return await super().list_table(name, family)

    def tamper(self, script: str) -> None:
        """Let somebody else run a script."""
        self._faults = {}
        _at_once(super().run(script))

    def held(self) -> Table | None:
        """Give the table as it is now; None without one, or with one that cannot be understood."""
        return read_listing(_at_once(super().list_table(TABLE)))

    def _take(self, call: Call) -> Fault | None:
        return self.coming[call].pop(0) if self.coming[call] else None


def _at_once(call: Coroutine[object, None, T]) -> T:
    """Run a call of the fake, which waits for nothing."""
    try:
        call.send(None)
    except StopIteration as done:
        value: T = done.value
        return value
    raise AssertionError("it waits")


def read_listing(listing: str | None) -> Table | None:
    """Read what `nft -j list table` says, without what has no effect on packets."""
    try:
        found = parse_listing(listing, TABLE) if listing is not None else None
    except ForeignContent:
        return None
    return None if found is None else strip(found)


def strip(table: Table) -> Table:
    """Take stamp, notes and comment from a table."""
    plain, _ = unstamp(table)
    return replace(
        plain,
        comment="",
        notes=(),
        sets=tuple(replace(part, notes=()) for part in plain.sets),
        maps=tuple(replace(part, notes=()) for part in plain.maps),
        chains=tuple(replace(chain, notes=()) for chain in plain.chains),
    )
