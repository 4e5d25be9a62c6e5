"""Starts a part again that ended by an exception: none of them ends the agent, and what is in force stays.

Parts catch what they expect, and say so in conditions of their own. This is for the rest.
"""

from __future__ import annotations

import logging

from policyd.agent.clock import CLOCK, Clock
from policyd.agent.reporting.conditions import Condition
from policyd.agent.reporting.report import Part, Source

log = logging.getLogger(__name__)

#: Seconds until a part is started again, and for how long it counts as failing after that.
RESTART_SECONDS = 2.0
FAILING_SECONDS = 30.0


class Supervised:
    """A part that is started again whenever it ends; `run` is its only task."""

    def __init__(self, part: Part, source: Source | None = None, clock: Clock = CLOCK) -> None:
        """`source`: where objects come from, without which no changes arrive."""
        self._part, self._clock = part, clock
        self._name = type(part).__name__
        self._degrades = part is source
        self._trouble, self._until = "", 0.0

    def conditions(self) -> tuple[Condition, ...]:
        """Whether it has failed of late; its own conditions it reports itself."""
        if self._trouble and self._clock.now() < self._until:
            return (Condition("part-failing", self._trouble, degraded=self._degrades),)
        return ()

    async def run(self) -> None:
        """Run the part until cancelled."""
        while True:
            try:
                await self._part.run()
                return
            except MemoryError:  # where nothing works any more another process does
                raise
            except Exception as error:
                reason = f"{type(error).__name__}: {error}"
                self._trouble = f"{self._name} of the agent failed and is started again: {reason}"
                self._until = self._clock.now() + RESTART_SECONDS + FAILING_SECONDS
                fields = {"event": "part.failed", "part": self._name, "reason": reason}
                log.exception("a part of the agent failed", extra=fields)
            await self._clock.sleep(RESTART_SECONDS)
