"""A reflector at work on a server, a sink that remembers, and pauses that take no time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NoReturn, assert_never

from policyd.cluster.events import Delete, Event, Synced, Upsert
from policyd.kube.kind import Kinds
from policyd.kube.objects import KubeObject
from policyd.kube.registry import KINDS
from policyd.watcher.failure import Reason
from policyd.watcher.reflector import Reflector, Timing
from policyd.watcher.transport import DEFAULT_TIMEOUTS, Access, Connection, Timeouts, connect
from tests.support.waiting import DEADLINE


def replay(events: Sequence[Event]) -> dict[str, KubeObject]:
    """What somebody knows who knew nothing and hears these events."""
    objects: dict[str, KubeObject] = {}
    for event in events:
        match event:
            case Upsert(key, item):
                assert objects.get(key) != item, f"{key} has not changed"
                objects[key] = item
            case Delete(_, key):
                del objects[key]  # of what was never there, none is to be said
            case Synced():
                pass
            case _:
                assert_never(event)
    return objects


@dataclass(slots=True)
class Recorder:
    """A sink that remembers its batches, and a sleep that remembers how long it was to be."""

    batches: list[tuple[Event, ...]] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def sink(self, events: Sequence[Event]) -> None:
        self.batches.append(tuple(events))
        self.news.set()

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.news.set()
        await asyncio.sleep(min(seconds, 0.01))  # who is refused again and again must let the test go on

    @property
    def events(self) -> list[Event]:
        return [event for batch in self.batches for event in batch]


@dataclass(slots=True)
class Scene:
    """What a test works with. `clock` is moved by hand."""

    reflector: Reflector
    recorder: Recorder
    connection: Connection
    clock: list[float]
    task: asyncio.Task[NoReturn] | None = None

    async def until(self, predicate: Callable[[], bool]) -> None:
        """Wait until what is known is so."""
        async with asyncio.timeout(DEADLINE):
            while not predicate():
                self.check()
                self.recorder.news.clear()
                await self.recorder.news.wait()

    async def synced(self) -> None:
        await self.until(lambda: self.reflector.status().synced)

    async def knows(self, objects: dict[str, KubeObject]) -> None:
        """Wait until the reflector knows just these objects, and has told the sink so."""
        try:
            await self.until(lambda: self.reflector.objects == objects)
        except TimeoutError:
            assert dict(self.reflector.objects) == objects, "it never came to know them"
        assert replay(self.recorder.events) == objects

    async def restarted(self, reason: Reason, times: int = 1) -> None:
        """Wait until it was interrupted so often for a reason."""
        await self.until(lambda: self.reflector.status().restarts.get(reason, 0) >= times)

    def check(self) -> None:
        """Raise if the reflector came to an end, which it never should."""
        if self.task is not None and self.task.done():
            self.task.result()


@asynccontextmanager
async def scene(
    access: Access,
    name: str,
    *,
    kinds: Kinds = KINDS,
    timeouts: Timeouts = DEFAULT_TIMEOUTS,
    random: Callable[[], float] = lambda: 0.5,
) -> AsyncIterator[Scene]:
    """Start a reflector for a kind, and end it with the block."""
    recorder = Recorder()
    clock = [1000.0]

    def read_clock() -> float:
        recorder.news.set()  # whatever the reflector takes note of, it notes the time of it
        return clock[0]

    timing = Timing(clock=read_clock, sleep=recorder.sleep, random=random)
    connection = await connect(access, timeouts, read_clock)
    kind = kinds.named(name)
    assert kind is not None
    reflector = Reflector(kind, connection, recorder.sink, timing)
    at_work = Scene(reflector, recorder, connection, clock)
    try:
        at_work.task = asyncio.create_task(reflector.run())
        yield at_work
        at_work.check()
    finally:
        if at_work.task is not None:
            at_work.task.cancel()
            await asyncio.wait([at_work.task])
        await connection.close()
