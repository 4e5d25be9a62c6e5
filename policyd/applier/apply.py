"""Puts a table into the kernel, knows what the kernel holds, and finds out when that is not so.

One Applier owns one table. Its methods are called one after another, never at the same time. Whatever goes
wrong on the way, it reads back before it writes again; nothing that was in force is lost by a refusal.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from policyd.applier.backend import Nft, removal
from policyd.applier.grace import Leftovers, wait_for_packets
from policyd.applier.in_place import Difference, InPlace, with_elements
from policyd.applier.listing import list_tables
from policyd.applier.monitor import TableMonitor
from policyd.applier.pieces import Pieces
from policyd.errors import EnvironmentRefused
from policyd_compiler.around import Around
from policyd_compiler.delta import Delta
from policyd_compiler.elements import differing_parts
from policyd_compiler.nft.ast import Table
from policyd_compiler.nft.stamp import stamp, unstamp
from policyd_compiler.plan import Step, StepKind, Transaction, differences, plan
from policyd_compiler.room import as_large, keeping_sizes
from policyd_compiler.ruleset import holds_more, part_of, restricted, with_parts

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Applied:
    """What an apply did: the generation now in force, and the steps it took; none if nothing differed.

    `before` is what the kernel held, None if that was nothing, or nothing that could be understood.
    """

    generation: int
    steps: tuple[StepKind, ...]
    before: Table | None


class Applier:
    """The table of one name in one network namespace."""

    def __init__(
        self,
        nft: Nft,
        table: str,
        monitor: TableMonitor | None = None,
        elements: InPlace | None = None,
        pieces: Pieces | None = None,
    ) -> None:
        """Without `elements`, sets that change are written beside, as a whole; without `pieces`, every
        comparison lists the whole table."""
        self._nft = nft
        self._elements, self._pieces = elements, pieces
        self._monitor = monitor
        self._table = table
        self._certain = False  # whether the kernel holds `_held`
        self._held: Table | None = None  # with its stamp, and with what is not swept yet
        self._wanted: Table | None = None
        self._leftovers, self._grace = False, Leftovers()
        self._lags = self._is_of_other_size = self._mistrusts = False
        self._desired: Table | None = None  # what was asked for last, if it came into force and still is
        self._replaced = False  # because it was too large to be listed
        #: The generation of the last ruleset in force; goes on from what the kernel holds.
        self.generation = 0

    @property
    def holds_leftovers(self) -> bool:
        """Whether there is something to sweep."""
        return self._leftovers

    @property
    def is_walked(self) -> bool:
        """Whether what is to be swept waits for packets that may be in it."""
        return self._grace.are_walked

    @property
    def lags(self) -> bool:
        """Whether what is in force bears other names than a compilation gives: a further apply fixes that."""
        return self._lags

    @property
    def is_of_other_size(self) -> bool:
        """Whether sets have more or less room than a compilation gives them: an `exact` apply fixes that."""
        return self._is_of_other_size

    @property
    def holds_ruleset(self) -> bool:
        """Whether the kernel is known to hold a ruleset of ours."""
        return self._held is not None and bool(self._held.chains)

    async def read_back(self) -> bool:
        """Learn what the kernel holds. True if there is a table, no matter who wrote into it."""
        self._desired = None
        self._held = (await list_tables(self._nft, self._table)).table
        self._certain = True
        self._leftovers = False
        if self._held is not None:
            self.generation = max(self.generation, unstamp(self._held)[1])
        return self._held is not None

    async def apply(
        self, desired: Table, difference: Difference | None = None, *, exact: bool = False
    ) -> Applied:
        """Bring `desired` into force, in one transaction that changes meaning.

        `difference`: how its elements differ from those of the table that was desired before, if that is
        known and all that differs. Sets that the kernel holds stay as large as they are while that is enough,
        but with `exact`. Raises NftRefused if the kernel refuses it; then what was in force is.
        """
        if not self._certain:
            await self.read_back()
        before, asked = self._held, desired
        known = difference if difference and difference.since is self._desired and not self._lags else None
        if known is not None and not (exact or self._mistrusts) and await self._follow(desired, known):
            self._desired = asked
            return Applied(self.generation, ("elements",) if known.changes else (), before)
        if known is not None and known.since is not self._desired:
            known = None  # it failed, and what the kernel holds was read back
        if before is not None and not (exact or self._mistrusts):
            desired = keeping_sizes(asked, before)
        self._desired = None  # until it is in force
        steps = await self._bring(desired, known)
        self._desired, self._mistrusts, self._is_of_other_size = asked, False, desired is not asked
        return Applied(self.generation, steps, before)

    async def _bring(self, desired: Table, known: Difference | None) -> tuple[StepKind, ...]:
        """Bring it into force: by elements alone, around a swap, or by a swap."""
        wanted = stamp(desired, self.generation)
        if self._held is not None and known is not None and not known.changes:
            self._held, self._wanted = with_elements(self._held, wanted), wanted
            return ()
        if await self._change_elements(wanted, known):
            return ("elements",)
        found = await self._find_around(wanted)
        if found is None or found.when == "before":
            steps = await self._swap(wanted, found)
        else:
            steps = await self._swap(found.between)
            rest = stamp(desired, self.generation)
            steps += ("elements",) if await self._change_elements(rest) else await self._swap(rest)
        self._lags = self._wanted != stamp(desired, self.generation)
        return steps

    async def _follow(self, desired: Table, known: Difference) -> bool:
        """Bring elements into force, at the cost of what changes; False where it takes more, or failed.

        Whatever else `desired` is, that is in force.
        """
        held, wanted, since = self._held, self._wanted, known.since
        if held is None or wanted is None or self._elements is None:
            return False
        if desired.chains is not since.chains or desired.bridge is not since.bridge:
            return False
        asked = {name: part_of(desired, name) for name in known.changes}
        sizes = {name: part_of(wanted, name).size for name in known.changes}
        parts = {name: as_large(part, sizes[name]) for name, part in asked.items()}
        if any(part.size != sizes[name] for name, part in parts.items()):
            return False
        if known.changes:
            delta = self._elements.follow(held, wanted, known.changes)
            if delta is None or not await self._write(delta):
                return False
        self._held, self._wanted = with_parts(held, parts), with_parts(wanted, parts)
        self._is_of_other_size |= any(part is not asked[name] for name, part in parts.items())
        return True

    async def _swap(self, target: Table, first: Around | None = None) -> tuple[StepKind, ...]:
        """Bring a ruleset into force by a plan.

        `first`: elements that change before the commit, when all chains are there that they lead to.
        """
        held = self._held if self._held is None or first is None else with_elements(self._held, first.between)
        transaction = plan(held, target, self.generation + 1)
        done: list[StepKind] = []
        for step in _changes(transaction):
            if step.kind == "commit" and first is not None:
                if not await self._write(first.delta):
                    return (*done, *await self._swap(target))
                done.append("elements")
            if step.kind != "stage":
                first = None
            self._certain = False  # until all has gone well
            await self._run(step)
            done.append(step.kind)
        if first is not None:  # what else differs is in force, by other names
            if not await self._write(first.delta):
                return (*done, *await self._swap(target))
            done.append("elements")
        if transaction.is_swap:
            self._certain = True
            self.generation += 1
            if self._elements is not None:
                self._elements.swapped()
        if done:
            self._held = transaction.leaves
        self._wanted = transaction.brings
        self._grace.bring(transaction.brings)
        self._leftovers = any(step.kind == "sweep" for step in transaction.steps)
        return tuple(done)

    async def _find_around(self, wanted: Table) -> Around | None:
        """Elements that change together with chains, and can be changed next to the swap."""
        if self._elements is None or self._held is None or not self._certain:
            return None
        in_force = self._held
        if self._leftovers and self._wanted is not None:
            in_force = restricted(self._held, self._wanted) or self._held
        changes = differing_parts(in_force, wanted)
        # Seldom any: then nobody waits for a thread.
        return await asyncio.to_thread(self._elements.around, in_force, wanted, changes) if changes else None

    async def _change_elements(self, wanted: Table, known: Difference | None = None) -> bool:
        """Bring a ruleset into force that differs in elements only; False if that is not so, or failed."""
        if self._elements is None or (held := self._held) is None:
            return False
        in_force = restricted(held, wanted)  # what is not swept yet may stay
        if in_force is None:
            return False
        changes = None if known is None else known.changes
        delta = await asyncio.to_thread(self._elements.delta, in_force, wanted, changes)
        if delta is None or not delta.steps or not await self._write(delta):
            return False
        self._held, self._wanted, self._lags = with_elements(held, wanted), wanted, False
        # It may have been read back: then what is left of rulesets before is found out only here.
        self._leftovers = holds_more(held, wanted)
        return True

    async def _write(self, delta: Delta) -> bool:
        """Write elements in place; False if that failed.

        A failure is no trouble: what the kernel holds is read back, and a plan leads on from there.
        """
        if self._elements is None:
            return False
        self._certain = False
        try:
            await self._elements.run(delta)
        except EnvironmentRefused as error:
            log.warning(
                "elements could not be changed in place",
                extra={"event": "elements.refused", "reason": str(error)},
            )
            await self.read_back()
            return False
        self._certain = True
        return True

    def planned(self, desired: Table) -> tuple[StepKind, ...]:
        """The steps that `apply` would take, by what was read back; none if nothing differs."""
        return tuple(step.kind for step in _changes(plan(self._held, desired, self.generation + 1)))

    async def _run(self, step: Step) -> None:
        # Megabytes, in a large cluster: the loop goes on reading what comes meanwhile. Never for base chains.
        is_short = step.kind == "commit"
        await self._send(step.script if is_short else await asyncio.to_thread(lambda: step.script))

    async def _send(self, script: str) -> None:
        if self._monitor is None:
            await self._nft.run(script)
            return
        self._monitor.pause()
        taken = 0
        try:
            await self._nft.run(script)
            taken = 1
        finally:
            self._monitor.resume(taken)

    async def check(self, scripts: Iterable[str]) -> None:
        """Ask the kernel whether it would take these scripts, changing nothing. Raises NftRefused."""
        for script in scripts:
            await self._nft.check(script)

    async def sweep(self, *, waited: bool = False) -> None:
        """Remove what nothing refers to any more, once no packet can be in it: `waited` if that is so."""
        if not self._leftovers or self._wanted is None:
            return
        if not waited:
            await asyncio.to_thread(wait_for_packets)
        await self._keep(self._wanted)

    async def sweep_soon(self, notify: Callable[[], None]) -> None:
        """The same, but nobody waits for packets: the first call begins to, and `notify` is called when they
        are gone; the second removes what was left at the first. Raises RuntimeError if there is no thread.
        """
        if self._held is None or self._wanted is None or not self._leftovers:
            return
        if self._grace.are_left:
            await self._keep(self._grace.take(self._held))
        elif not self._grace.are_walked:
            self._grace.begin(self._held, self._wanted, notify)

    async def _keep(self, table: Table) -> None:
        """Remove all other parts, which nothing refers to."""
        self._certain = self._leftovers = False
        for step in plan(self._held, table).steps:
            await self._run(step)
        self._held, self._certain = table, True
        self._leftovers = self._wanted is not None and holds_more(table, self._wanted)

    async def verify(self, *, thorough: bool = True) -> tuple[str, ...]:
        """Compare the kernel with what was applied, elements included: what differs, in sentences.

        Not `thorough`: the elements of some sets, in turn, as long as foreign writes are noticed.

        Raises EnvironmentRefused for what is still too large to be listed when it has been replaced.
        After a difference the next apply starts from what the kernel really holds, and so repairs it.
        """
        if not self._certain or self._held is None:
            return ()
        watched = self._monitor is not None and not self._monitor.trouble
        by_pieces = self._pieces if watched and not thorough else None
        # What differs was written by something that was not noticed: to repair it, all must be known.
        if by_pieces is not None and not await by_pieces.differences(self._held):
            return ()
        actual = await list_tables(self._nft, self._table)
        if (
            actual.too_large and self._replaced
        ):  # it is we who make it so large: another replacement is no remedy
            raise EnvironmentRefused(f"{actual.foreign[0]}; it is in force, and cannot be verified")
        self._replaced = actual.too_large
        gone = (f"table inet {self._table} is gone",)
        found = actual.foreign or (gone if actual.table is None else differences(actual.table, self._held))
        if found:
            self._desired, self._mistrusts = None, True
            self._held, self._leftovers = actual.table, False
        return found

    async def remove(self) -> None:
        """Remove the tables; without one, nothing."""
        await self._send(await removal(self._nft, self._table))
        self._held, self._desired, self._certain, self._leftovers = None, None, True, False


def replacement(desired: Table) -> tuple[str, ...]:
    """The scripts that put a table in the place of whatever the kernel holds."""
    return tuple(step.script for step in plan(None, desired).steps)


def _changes(transaction: Transaction) -> tuple[Step, ...]:
    return tuple(step for step in transaction.steps if step.kind != "sweep")
