"""A clock that stands still until a test turns it; whoever waits by it waits for the test."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass, field

from policyd.agent.clock import Clock
from tests.support.waiting import eventually


@dataclass(eq=False, slots=True)
class _Alarm:
    """Somebody waits until then, or until the event is set."""

    at: float
    event: asyncio.Event
    rung: asyncio.Event = field(default_factory=asyncio.Event)


class TurnedClock:
    """Time for one task under test. `chance` is what its random numbers are."""

    def __init__(self, now: float = 1000.0, chance: float = 0.5) -> None:
        self.now, self.chance = now, chance
        #: What the task has going on beside, which no alarm tells of.
        self.busy: Callable[[], bool] = lambda: False
        self._alarms: list[_Alarm] = []

    @property
    def clock(self) -> Clock:
        """What the task under test is given."""
        return Clock(
            now=lambda: self.now,
            wall=lambda: 1.7e9 + self.now,
            random=lambda: self.chance,
            sleep=lambda seconds: self._wait(asyncio.Event(), seconds),
            wait=self._wait,
        )

    async def turn(self, seconds: float) -> None:
        """Let so many seconds pass; whatever is due meanwhile is done at its own time."""
        end = self.now + seconds
        while (at := await self.next()) <= end:
            # A moment later at least: what is left of a wait may be less than a float can tell.
            self.skip(max(at, math.nextafter(self.now, math.inf)) - self.now)
        self.now = max(self.now, end)

    def skip(self, seconds: float) -> None:
        """Let so many seconds pass at once, as for a task that need not wait by the clock again."""
        self.now += seconds
        for alarm in self._alarms:
            if alarm.at <= self.now:
                alarm.rung.set()

    async def next(self) -> float:
        """Wait until the task has nothing to do; when it wakes by itself."""
        await eventually(lambda: self._alarms and not any(map(_is_over, self._alarms)) and not self.busy())
        return min(alarm.at for alarm in self._alarms)

    async def _wait(self, event: asyncio.Event, seconds: float) -> None:
        alarm = _Alarm(self.now + seconds, event)
        self._alarms.append(alarm)
        waits = [asyncio.ensure_future(each.wait()) for each in (event, alarm.rung)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._alarms.remove(alarm)
            for each in waits:
                each.cancel()


def _is_over(alarm: _Alarm) -> bool:
    return alarm.event.is_set() or alarm.rung.is_set()
