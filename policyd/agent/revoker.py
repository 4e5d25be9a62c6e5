"""Ends live connections that a change has denied: a task beside the reconciler, as that need not wait."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from policyd.agent.conditions import Condition
from policyd.agent.revoke import denied, mirrored
from policyd.agent.status import Swap
from policyd.applier.conntrack import Conntrack, Flow
from policyd.applier.own_addresses import own_addresses
from policyd.errors import EnvironmentRefused
from policyd.obs.metrics import Metrics
from policyd_compiler.changes import changed_addresses
from policyd_compiler.nft.ast import Table
from policyd_compiler.sim import Simulator

log = logging.getLogger(__name__)

#: An answer on its way can open the connection again from the other end, so one looks again, so often and so
#: long; decisions 3 gives a second.
LOOKS = 8
LOOK_SECONDS = 0.1


class Revoker:
    """Told of each swap; `run` is its only task."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._pending: dict[int, frozenset[int]] = {}
        self._table: Table | None = None
        self._told = asyncio.Event()
        self._trouble = ""

    def note(self, swap: Swap) -> None:
        """A ruleset was replaced by another."""
        for family, addresses in changed_addresses(swap.before, swap.after).items():
            self._pending[family] = self._pending.get(family, frozenset()) | addresses
        self._table = swap.after
        if any(self._pending.values()):
            self._told.set()

    def conditions(self) -> tuple[Condition, ...]:
        """Whether live connections cannot be ended."""
        return (Condition("connections-unlisted", self._trouble, untrue=False),) if self._trouble else ()

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await self._told.wait()
            self._told.clear()
            pending, self._pending = self._pending, {}
            if self._table is None:
                continue
            try:
                await self._revoke(pending, self._table)
            except EnvironmentRefused as error:
                if not self._trouble:
                    fields = {"event": "connections.unlisted", "reason": str(error)}
                    log.error("connections that are denied now cannot be ended", extra=fields)
                self._trouble = str(error)
            else:
                self._trouble = ""

    async def _revoke(self, addresses: dict[int, frozenset[int]], table: Table) -> None:
        conntrack = Conntrack()
        try:
            forgotten = await asyncio.to_thread(_forget_denied, conntrack, addresses, table)
            self._tell(forgotten)
            for _ in range(LOOKS if forgotten else 0):
                if self._told.is_set():
                    return  # a newer table has a better opinion
                await asyncio.sleep(LOOK_SECONDS)
                back = await asyncio.to_thread(_forget_mirrored, conntrack, forgotten)
                self._metrics.revoked.inc(len(back))
        finally:
            conntrack.close()

    def _tell(self, forgotten: tuple[Flow, ...]) -> None:
        self._metrics.revoked.inc(len(forgotten))
        if forgotten:
            fields = {"event": "connections.ended", "connections": len(forgotten)}
            log.info("live connections are denied now: ended", extra=fields)


def _forget_denied(
    conntrack: Conntrack, addresses: dict[int, frozenset[int]], table: Table
) -> tuple[Flow, ...]:
    flows = conntrack.list(addresses)
    if not flows:
        return ()
    gone = denied(flows, Simulator(table), own_addresses())
    return tuple(flow for flow in gone if conntrack.forget(flow))


def _forget_mirrored(conntrack: Conntrack, forgotten: tuple[Flow, ...]) -> tuple[Flow, ...]:
    back = mirrored(conntrack.list(_ends(forgotten)), forgotten)
    return tuple(flow for flow in back if conntrack.forget(flow))


def _ends(flows: Iterable[Flow]) -> dict[int, frozenset[int]]:
    found: dict[int, set[int]] = {4: set(), 6: set()}
    for flow in flows:
        found[flow.family].update((flow.source, flow.destination))
    return {family: frozenset(addresses) for family, addresses in found.items()}
