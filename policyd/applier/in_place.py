"""Changes elements where they are, in an order in which no packet meets what neither ruleset says.

What may be changed so, and in which transactions, `policyd_compiler.delta` says. Here it is written, and
between two transactions that one packet must not meet we wait until all are gone that were walking.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from policyd.applier.grace import wait_for_packets
from policyd_compiler.around import Around, around
from policyd_compiler.delta import Changes, Delta, Order, in_place
from policyd_compiler.elements import HeldTable
from policyd_compiler.nft.ast import Chain, Table
from policyd_compiler.nft.commands import Change
from policyd_compiler.ruleset import with_others

#: So long after a transaction nobody hurries to forget it: most are followed by none that must wait.
FORGET_SECONDS = 0.1
#: Kinds of changes of which is kept what was found out.
MOST_KINDS = 4096


@dataclass(frozen=True, slots=True)
class Difference:
    """How elements differ from those of another table, and nothing else does."""

    since: Table
    changes: Changes


class ElementsWriter(Protocol):
    """Who writes elements: `policyd.netlink.elements.ElementWriter`."""

    def write(self, table: str, inet: Iterable[Change]) -> None:
        """Do these changes as one transaction. Blocks; raises EnvironmentRefused, then nothing is certain."""


class InPlace:
    """Elements of one table. Its methods are called one after another, never at the same time."""

    def __init__(
        self,
        table: str,
        writer: ElementsWriter,
        *,
        atomic: bool,
        wait: Callable[[], None] = wait_for_packets,
        alone: bool = True,
    ) -> None:
        """`atomic`: see `probe.replaces_are_atomic`. `wait` blocks until packets that walk now are gone.

        Not `alone`: somebody waits for many of these at once, and then calls `forget_up_to`.
        """
        self._alone = alone
        self._table, self._writer, self._atomic, self._wait = table, writer, atomic, wait
        #: What packets may still be walking: numbered deltas, and None for a swap.
        self._recent: list[tuple[int, Delta | None]] = []
        self._number = 0
        self._order: Order | None = None
        self._chains: tuple[Chain, ...] = ()  # of the table that it is known to be of
        self._forgetting = False

    def delta(self, held: Table, wanted: Table, changes: Changes | None = None) -> Delta | None:
        """How elements alone lead to what is wanted; None where they do not.

        `held`: without what is not swept yet. `changes`: all that differs, where that is known.
        """
        delta = in_place(held, wanted, self._order_of, changes)
        if delta is not None and delta.steps:
            self._chains = wanted.chains
        return delta

    def follow(self, held: Table, wanted: Table, changes: Changes) -> Delta | None:
        """The same at the cost of what changes; None, too, where that is not known to be all since the last.

        `wanted`: what is in force, without what is not swept yet.
        """
        order = self._order
        if order is None or order.kinds >= MOST_KINDS or wanted.chains is not self._chains:
            return None
        return order.delta(changes, HeldTable(held))

    def _order_of(self, table: Table) -> Order:
        """Who asks what in a table: found out once, as it is the same for other elements of peers."""
        known = self._order
        if known is not None and known.kinds < MOST_KINDS and known.is_of(table):
            return known
        self._chains = ()
        self._order = Order(table, replaces_are_atomic=self._atomic, before=known)
        return self._order

    def around(self, held: Table, wanted: Table, changes: Changes) -> Around | None:
        """How elements are changed next to the swap to what is wanted; None where that is not safe.

        `changes`: the elements that differ in parts that both have.

        What is not swept yet counts as gone: it is in no packet's way once the swap before is forgotten.
        """
        return around(held, wanted, self._order_of, changes)

    async def run(self, delta: Delta) -> None:
        """Write it. Raises EnvironmentRefused; then it is not known how much is in force."""
        if not all(earlier is not None and delta.may_follow(earlier) for _, earlier in self._recent):
            await self._forget()
        for number, step in enumerate(delta.steps):
            if number:
                await self._forget()
            await asyncio.to_thread(self._writer.write, self._table, step)
            self._note(delta)

    def swapped(self) -> None:
        """Base chains have other rules: packets may still walk what these led to before."""
        self._note(None)

    def _note(self, delta: Delta | None) -> None:
        self._number += 1
        self._recent.append((self._number, delta))
        if self._alone and not self._forgetting:
            self._forget_later()

    def _forget_later(self) -> None:
        """Wait beside everything else, so that what comes next seldom has to."""
        self._forgetting = True
        loop = asyncio.get_running_loop()

        def begin() -> None:
            last = self._number
            try:
                waiting = loop.run_in_executor(None, self._wait)
            except RuntimeError:  # the agent ends, or there can be no further thread: who has to, waits
                self._forgetting = False
                return
            waiting.add_done_callback(lambda done: end(last, done))

        def end(last: int, done: asyncio.Future[None]) -> None:
            self._forgetting = False
            if not done.cancelled() and done.exception() is None:
                self.forget_up_to(last)
            if self._recent:
                self._forget_later()

        loop.call_later(FORGET_SECONDS, begin)

    async def _forget(self) -> None:
        """Wait until no packet walks what was written up to now."""
        last = self._number
        await asyncio.to_thread(self._wait)
        self.forget_up_to(last)

    @property
    def last(self) -> int:
        """The number of the last transaction."""
        return self._number

    def forget_up_to(self, last: int) -> None:
        """Packets are gone that walked when this transaction was the last."""
        self._recent = [(number, delta) for number, delta in self._recent if number > last]


def with_elements(held: Table, wanted: Table) -> Table:
    """What the kernel holds after a delta to what is wanted: next to it what was not swept yet."""
    return replace(with_others(wanted, held), bridge=held.bridge)
