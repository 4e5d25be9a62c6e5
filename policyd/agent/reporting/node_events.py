"""Says when something begins and stops to be wrong: lines in the log, and Events about the Node.

What is said is said for people. Nothing depends on it, and nothing suffers when it cannot be said.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from policyd.agent.clock import CLOCK, Clock
from policyd.agent.reporting.conditions import Condition
from policyd.errors import PolicydError
from policyd.watcher.event_writer import NodeEvent

log = logging.getLogger(__name__)

Conditions = Callable[[], tuple[Condition, ...]]
Write = Callable[[NodeEvent], Awaitable[int]]

#: How often one looks; what comes and goes in between is not worth a word.
LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class EventPauses:
    """Seconds. `settle`: how long a condition must hold to be worth an Event. `rest`: the least time between
    two writes of one Event; `settle` where it says for the first time that enforcing is no longer true.
    `remind`: when one that goes on is written again; the API server forgets Events after an hour.
    """

    settle: float = 10.0
    rest: float = 60.0
    remind: float = 600.0


class ConditionLog:
    """Logs when a condition begins and when it is over; `run` is its only task."""

    def __init__(self, conditions: Conditions, clock: Clock = CLOCK) -> None:
        self._ask, self._clock = conditions, clock
        self._since: dict[str, float] = {}

    def conditions(self) -> tuple[Condition, ...]:
        """It has none of its own."""
        return ()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            self.look(self._clock.now())

    def look(self, now: float) -> None:
        """Log what has changed since the last look."""
        found = by_name(self._ask())
        for name, condition in found.items():
            if name not in self._since:
                self._since[name] = now
                fields = {"event": "condition.began", "condition": name, "reason": condition.text}
                level = logging.ERROR if condition.degraded else logging.WARNING
                log.log(level, "a condition began", extra=fields)
        for name in self._since.keys() - found.keys():
            lasted = round(now - self._since.pop(name), 1)
            fields = {"event": "condition.ended", "condition": name, "seconds": f"{lasted}"}
            log.info("a condition is over", extra=fields)


@dataclass(slots=True)
class _Topic:
    """What is known of one condition's Event. `first` is a time of day, all others are not.

    `reported`: whether it says that the condition holds; `reported_degraded`: and that it
    degrades enforcement.
    """

    first: float
    began: float | None = None
    text: str = ""
    degraded: bool = False
    written: float = float("-inf")
    reported: bool = False
    reported_degraded: bool = False
    count: int = 0


class EventPoster:
    """Keeps one Event for each condition that lasts; `run` is its only task."""

    def __init__(
        self,
        node: str,
        conditions: Conditions,
        write: Write,
        pauses: EventPauses = EventPauses(),
        clock: Clock = CLOCK,
    ) -> None:
        self._node, self._ask, self._write, self._pauses = node, conditions, write, pauses
        self._clock = clock
        self._topics: dict[str, _Topic] = {}
        self._trouble = ""

    def conditions(self) -> tuple[Condition, ...]:
        """It has none of its own."""
        return ()

    async def run(self) -> None:
        """Look and write until cancelled."""
        while True:
            await self._clock.sleep(min(LOOK_SECONDS, self._pauses.rest))
            await self.look(self._clock.now())

    async def look(self, now: float) -> None:
        """Write what is due."""
        found = by_name(self._ask())
        for name, condition in found.items():
            topic = self._topics.setdefault(name, _Topic(self._clock.wall()))
            topic.text, topic.degraded = condition.text, condition.degraded
            topic.began = now if topic.began is None else topic.began
        for name, topic in self._topics.items():
            if name not in found:
                topic.began = None
            if self._is_due(topic, now):
                await self._tell(name, topic, now)

    def _is_due(self, topic: _Topic, now: float) -> bool:
        if topic.reported and topic.began is not None and topic.degraded and not topic.reported_degraded:
            return now - topic.written >= self._pauses.settle
        if now - topic.written < self._pauses.rest:
            return False
        if topic.began is None:
            return topic.reported
        if topic.reported:
            return now - topic.written >= self._pauses.remind
        return now - topic.began >= self._pauses.settle

    async def _tell(self, name: str, topic: _Topic, now: float) -> None:
        holds = topic.began is not None
        topic.written = now  # also when it fails: not more often than that
        event = NodeEvent(
            node=self._node,
            topic=name,
            type="Warning" if holds else "Normal",
            message=topic.text if holds else f"over: {topic.text}",
            count=topic.count + 1,
            first=topic.first,
            last=self._clock.wall(),
        )
        try:
            topic.count = await self._write(event)
        except PolicydError as error:
            if str(error) != self._trouble:
                fields = {"event": "event.unwritten", "condition": name, "reason": str(error)}
                log.warning("an Event about the node could not be written", extra=fields)
            self._trouble = str(error)
        else:
            self._trouble = ""
            topic.reported, topic.reported_degraded = holds, holds and topic.degraded


def by_name(conditions: tuple[Condition, ...]) -> dict[str, Condition]:
    """One condition for each name, with the sentences of all: degraded if one of them is."""
    found: dict[str, Condition] = {}
    for each in conditions:
        before = found.get(each.name)
        if before is None:
            found[each.name] = each
        else:
            text = f"{before.text}; {each.text}"
            found[each.name] = Condition(each.name, text, before.degraded or each.degraded)
    return found
