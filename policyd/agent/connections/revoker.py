"""Ends live connections that a change has denied: a task alongside the reconciler, as that need not wait."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from policyd.agent.clock import CLOCK, Clock
from policyd.agent.connections.judge import denied, mirrored
from policyd.agent.reporting.conditions import Condition
from policyd.agent.reporting.status import Swap
from policyd.errors import EnvironmentRefused
from policyd.netlink.conntrack import Conntrack, Flow
from policyd.netlink.local_addresses import local_addresses
from policyd.obs.metrics import Metrics
from policyd_compiler.changes import changed_addresses
from policyd_compiler.nft.ast import Table

log = logging.getLogger(__name__)

#: An answer on its way can open a forgotten connection again from the other end, so one looks again, so long
#: and so often. Swaps in between are looked into as often.
WATCH_SECONDS = 0.8
LOOK_SECONDS = 0.2


class Revoker:
    """Called with each swap; `run` is its only task."""

    def __init__(self, metrics: Metrics, clock: Clock = CLOCK) -> None:
        self._metrics, self._clock = metrics, clock
        self._pending: dict[int, frozenset[int]] = {}
        self._table: Table | None = None
        self._told = asyncio.Event()
        self._watched: tuple[_Watched, ...] = ()
        self._trouble = ""

    def note(self, swap: Swap) -> None:
        """A ruleset was replaced by another."""
        self._add(changed_addresses(swap.before, swap.after, swap.changes))
        self._table = swap.after

    def _add(self, addresses: Mapping[int, frozenset[int]]) -> None:
        for family, found in addresses.items():
            self._pending[family] = self._pending.get(family, frozenset()) | found
        if any(self._pending.values()):
            self._told.set()

    def conditions(self) -> tuple[Condition, ...]:
        """Whether live connections cannot be ended."""
        return (Condition("connections-unlisted", self._trouble, degraded=False),) if self._trouble else ()

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            if not self._watched:
                await self._told.wait()
            self._told.clear()
            pending, self._pending = self._pending, {}
            try:
                if self._table is not None:
                    await self._look(pending, self._table)
            except (EnvironmentRefused, OSError, RuntimeError) as error:  # OSError: of /proc; no thread
                self._add(pending)
                if not self._trouble:
                    fields = {"event": "connections.unlisted", "reason": str(error)}
                    log.error("connections that are denied now cannot be ended", extra=fields)
                self._trouble = str(error)
            else:
                self._trouble = ""
            await self._clock.sleep(LOOK_SECONDS)

    async def settle(self) -> int:
        """Look until nothing comes back, in the place of `run`: how many connections were ended.

        Raises EnvironmentRefused where they cannot be listed.
        """
        ended = 0
        while self._table is not None and (any(self._pending.values()) or self._watched):
            pending, self._pending = self._pending, {}
            ended += await self._look(pending, self._table)
            if self._watched:
                await self._clock.sleep(LOOK_SECONDS)
        return ended

    async def _look(self, addresses: Mapping[int, frozenset[int]], table: Table) -> int:
        """Forget what is denied now, and what has opened a forgotten connection again: how many."""
        ended = 0
        conntrack = Conntrack()
        try:
            if any(addresses.values()):
                forgotten = await asyncio.to_thread(_forget_denied, conntrack, addresses, table)
                self._tell(forgotten)
                ended += len(forgotten)
                until = self._clock.now() + WATCH_SECONDS
                self._watched += tuple(_Watched(flow, table, until) for flow in forgotten)
            self._watched, back = await asyncio.to_thread(
                _forget_mirrored, conntrack, self._watched, table, self._clock.now()
            )
            self._metrics.revoked.inc(len(back))
        finally:
            conntrack.close()
        return ended

    def _tell(self, forgotten: tuple[Flow, ...]) -> None:
        self._metrics.revoked.inc(len(forgotten))
        if forgotten:
            fields = {"event": "connections.ended", "connections": len(forgotten)}
            log.info("live connections are denied now: ended", extra=fields)


@dataclass(frozen=True, slots=True)
class _Watched:
    """A forgotten connection that `table` denies, until when it is looked for again (monotonic)."""

    flow: Flow
    table: Table
    until: float


def _forget_denied(
    conntrack: Conntrack, addresses: Mapping[int, frozenset[int]], table: Table
) -> tuple[Flow, ...]:
    flows = conntrack.list(addresses)
    if not flows:
        return ()
    gone = denied(flows, table, local_addresses())
    return tuple(flow for flow in gone if conntrack.forget(flow))


def _forget_mirrored(
    conntrack: Conntrack, watched: tuple[_Watched, ...], table: Table, now: float
) -> tuple[tuple[_Watched, ...], tuple[Flow, ...]]:
    """What is to be watched on, and what had come back and was forgotten."""
    if any(each.table is not table for each in watched):  # it may allow again what an earlier one denied
        still = frozenset(denied((each.flow for each in watched), table, local_addresses()))
        watched = tuple(replace(each, table=table) for each in watched if each.flow in still)
    if not watched:
        return (), ()
    flows = tuple(each.flow for each in watched)
    back = mirrored(conntrack.list(_ends(flows)), flows)
    return (
        tuple(each for each in watched if each.until > now),
        tuple(flow for flow in back if conntrack.forget(flow)),
    )


def _ends(flows: Iterable[Flow]) -> dict[int, frozenset[int]]:
    found: dict[int, set[int]] = {4: set(), 6: set()}
    for flow in flows:
        found[flow.family].update((flow.source, flow.destination))
    return {family: frozenset(addresses) for family, addresses in found.items()}
