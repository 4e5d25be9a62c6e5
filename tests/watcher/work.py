"""A reflector at work on an emulator with pods, and what it asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from policyd.watcher.transport import DEFAULT_TIMEOUTS, Timeouts
from tests.watcher.emulator import PODS, Emulator
from tests.watcher.objects import pod
from tests.watcher.scene import Scene, scene
from tests.watcher.server import emulated


@asynccontextmanager
async def at_work(
    emulator: Emulator, kind: str = "Pod", timeouts: Timeouts = DEFAULT_TIMEOUTS
) -> AsyncIterator[Scene]:
    """A reflector on an emulator."""
    async with emulated(emulator) as server, scene(server.access, kind, timeouts=timeouts) as working:
        yield working


def with_pods(number: int, **options: bool) -> Emulator:
    emulator = Emulator(**options)  # type: ignore[arg-type]
    emulator.put(PODS, *(pod(f"p{index:03}") for index in range(number)))
    return emulator


def versions(emulator: Emulator, path: str = PODS) -> list[str]:
    """From which versions watches were asked for; "" stands for a list."""
    return [seen.query.get("resourceVersion", "") for seen in emulator.asked(path)]


async def watching(working: Scene, emulator: Emulator) -> None:
    await working.synced()
    await emulator.until(lambda: emulator.watches(PODS) == 1)
