"""When something is said of a condition: once when it begins, once when it is over, and Events sparingly."""

from __future__ import annotations

import asyncio
import logging

import pytest

from policyd.agent.reporting.conditions import NAMES, Condition
from policyd.agent.reporting.node_events import LOOK_SECONDS, ConditionLog, EventPauses, EventPoster, by_name
from policyd.watcher.event_writer import NodeEvent
from policyd.watcher.failure import WatchError
from tests.support.clock import TurnedClock

OFF = Condition("bridge-netfilter-off", "off on cni0")
PAUSES = EventPauses(settle=10, rest=60, remind=600)


class Stage:
    """Conditions that a test sets, and the Events that were written; `refuses` is what the server says."""

    def __init__(self, server_count: int = 0) -> None:
        self.now: tuple[Condition, ...] = ()
        self.written: list[NodeEvent] = []
        self.refuses = ""
        self._server_count = server_count
        self.poster = EventPoster("n1", lambda: self.now, self._write, PAUSES)

    async def _write(self, event: NodeEvent) -> int:
        self.written.append(event)
        if self.refuses:
            raise WatchError("forbidden", self.refuses)
        return max(event.count, self._server_count)

    async def look(self, *times: float) -> list[tuple[str, int, str]]:
        """Look at these times; what was written meanwhile: type, count, message."""
        before = len(self.written)
        for time in times:
            await self.poster.look(time)
        return [(event.type, event.count, event.message) for event in self.written[before:]]


async def test_a_condition_that_lasts_is_written_once_and_then_rarely() -> None:
    stage = Stage()
    stage.now = (OFF,)
    assert await stage.look(0, 5, 9.9) == []
    assert await stage.look(10) == [("Warning", 1, "off on cni0")]
    assert await stage.look(*range(11, 609)) == []
    assert await stage.look(610) == [("Warning", 2, "off on cni0")]


async def test_its_end_is_written_but_no_sooner_than_a_minute_later() -> None:
    stage = Stage()
    stage.now = (OFF,)
    await stage.look(0, 10)
    stage.now = ()
    assert await stage.look(*range(11, 70)) == []
    assert await stage.look(70) == [("Normal", 2, "over: off on cni0")]
    assert await stage.look(*range(71, 2000)) == []


async def test_a_condition_that_comes_and_goes_costs_one_write_a_minute() -> None:
    stage = Stage()
    for second in range(3600):
        stage.now = (OFF,) if second // 15 % 2 else ()
        await stage.look(second)
    assert 20 <= len(stage.written) <= 60
    assert [event.count for event in stage.written] == list(range(1, len(stage.written) + 1))


async def test_that_enforcing_is_no_longer_true_is_written_without_a_rest() -> None:
    """A node that may be blind was told of; that it is blind must not wait for the next reminder."""
    stage = Stage()
    stage.now = (Condition("pods-unseen", "some may", degraded=False),)
    assert await stage.look(*range(11)) == [("Warning", 1, "some may")]
    stage.now = (Condition("pods-unseen", "all do"),)
    assert await stage.look(*range(11, 20)) == []
    assert await stage.look(20) == [("Warning", 2, "all do")]
    stage.now = (Condition("pods-unseen", "some may", degraded=False),)
    assert await stage.look(*range(21, 40)) == []
    stage.now = (Condition("pods-unseen", "all do"),)
    assert await stage.look(*range(40, 620)) == []
    assert await stage.look(620) == [("Warning", 3, "all do")]


async def test_what_is_over_before_it_settled_is_never_written() -> None:
    stage = Stage()
    stage.now = (OFF,)
    await stage.look(0, 9)
    stage.now = ()
    assert await stage.look(*range(10, 1000)) == []


async def test_the_count_goes_on_from_an_agent_before() -> None:
    stage = Stage(server_count=7)
    stage.now = (OFF,)
    await stage.look(0, 10)
    assert await stage.look(610) == [("Warning", 8, "off on cni0")]


async def test_a_server_that_refuses_is_asked_once_a_minute_and_reported_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stage = Stage()
    stage.now, stage.refuses = (OFF,), "no"
    assert len(await stage.look(*range(600))) == 10
    assert [record.getMessage() for record in caplog.records] == [
        "an Event about the node could not be written"
    ]
    stage.refuses = ""
    assert await stage.look(*range(600, 671)) == [("Warning", 1, "off on cni0")]


async def test_each_condition_has_an_event_of_its_own() -> None:
    stage = Stage()
    stage.now = (OFF, Condition("file-broken", "a"), Condition("file-broken", "b"))
    await stage.look(0, 10)
    assert [(event.topic, event.message) for event in stage.written] == [
        ("bridge-netfilter-off", "off on cni0"), ("file-broken", "a; b"),
    ]  # fmt: skip


def test_conditions_of_one_name_are_one_that_is_as_bad_as_the_worst() -> None:
    found = by_name((Condition("x", "a", degraded=False), Condition("x", "b"), Condition("y", "c")))
    assert found == {"x": Condition("x", "a; b"), "y": Condition("y", "c")}


def test_the_log_says_when_a_condition_begins_and_when_it_is_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now: tuple[Condition, ...] = ()
    watching = ConditionLog(lambda: now)
    with caplog.at_level(logging.INFO):
        watching.look(0)
        now = (OFF, Condition("flowtable", "fast", degraded=False))
        watching.look(1)
        now = (
            Condition("bridge-netfilter-off", "another text"),
            Condition("flowtable", "fast", degraded=False),
        )
        watching.look(2)
        now = ()
        watching.look(4.5)
    said = [(r.levelname, vars(r)["event"], vars(r)["condition"]) for r in caplog.records]
    assert said[:2] == [
        ("ERROR", "condition.began", "bridge-netfilter-off"),
        ("WARNING", "condition.began", "flowtable"),
    ]
    assert sorted(said[2:]) == [
        ("INFO", "condition.ended", "bridge-netfilter-off"),
        ("INFO", "condition.ended", "flowtable"),
    ]
    assert vars(caplog.records[0])["reason"] == "off on cni0"
    assert {vars(r)["seconds"] for r in caplog.records[2:]} == {"3.5"}


def test_condition_names_are_words_for_labels_and_reasons() -> None:
    assert len(NAMES) == len(set(NAMES))
    assert all(name.replace("-", "").isalnum() and name == name.lower() for name in NAMES)


async def test_an_event_says_since_when_and_until_when_by_the_time_of_day() -> None:
    turned, written = TurnedClock(), []

    async def write(event: NodeEvent) -> int:
        written.append((event.first, event.last))
        return event.count

    began = turned.clock.wall() + LOOK_SECONDS
    task = asyncio.create_task(EventPoster("n1", lambda: (OFF,), write, PAUSES, turned.clock).run())
    await turned.turn(10.0)
    assert written == []
    await turned.turn(1.0)
    assert written == [(began, began + 10.0)]
    await turned.turn(600.0)
    assert written[1:] == [(began, began + 610.0)]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
