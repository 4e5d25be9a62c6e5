"""Keeps the monitor of the table listening: without it changes by others are noticed late."""

from __future__ import annotations

import asyncio
import logging

from policyd.agent.reporting.conditions import Condition
from policyd.applier.monitor import TableMonitor

log = logging.getLogger(__name__)

RETRY_SECONDS = 2.0


class TableWatch:
    """Lets a monitor listen again when it has stopped; `run` is its only task."""

    def __init__(self, monitor: TableMonitor, verify_every: float) -> None:
        self._monitor, self._verify_every = monitor, verify_every

    def conditions(self) -> tuple[Condition, ...]:
        """Whether nobody listens."""
        if not self._monitor.trouble:
            return ()
        text = (
            f"the kernel cannot be listened to ({self._monitor.trouble}), so what others change in the table "
            f"is noticed only when it is compared, every {self._verify_every:g} s"
        )
        return (Condition("table-unwatched", text, degraded=False),)

    async def run(self) -> None:
        """Look until cancelled."""
        reported = ""
        while True:
            if self._monitor.trouble:
                if self._monitor.trouble != reported:
                    reported = self._monitor.trouble
                    fields = {"event": "table.unwatched", "reason": reported}
                    log.error("the table cannot be watched", extra=fields)
                self._monitor.listen()
            else:
                reported = ""
            await asyncio.sleep(RETRY_SECONDS)
