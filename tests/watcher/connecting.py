"""A connection to a server, asked by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from policyd.watcher.failure import WatchError
from policyd.watcher.transport import DEFAULT_TIMEOUTS, Access, Connection, Timeouts, connect
from tests.watcher.emulator import PODS, Emulator

JSON = "application/json"
WATCH = (("watch", "1"), ("resourceVersion", "21000"))


@asynccontextmanager
async def connected(
    access: Access, timeouts: Timeouts = DEFAULT_TIMEOUTS, clock: list[float] | None = None
) -> AsyncIterator[Connection]:
    times = clock or [1000.0]
    connection = await connect(access, timeouts, lambda: times[0])
    try:
        yield connection
    finally:
        await connection.close()


async def status_of(connection: Connection, path: str = PODS) -> int:
    """Ask for a list, and read it."""
    async with connection.get(path, (), JSON, 10) as answer:
        assert b"".join([chunk async for chunk in answer.chunks])
        return answer.status


async def failure_of(connection: Connection, seconds: float = 10) -> WatchError:
    try:
        async with connection.get(PODS, WATCH, JSON, seconds) as answer:
            async for _ in answer.chunks:
                pass
    except WatchError as error:
        return error
    raise AssertionError("it did not fail")


def authorizations(emulator: Emulator) -> list[str]:
    return [seen.headers.get("Authorization", "") for seen in emulator.requests]
