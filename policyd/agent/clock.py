"""Time and chance, as parameters of what decides by them: so a test turns the clock and does not wait."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

#: Waits until the event is set, for so many seconds at most; which of both it was does not matter.
Wait: TypeAlias = Callable[[asyncio.Event, float], Awaitable[None]]


async def wait_for(event: asyncio.Event, seconds: float) -> None:
    """Wait until the event is set, for so many seconds at most."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass


@dataclass(frozen=True, slots=True)
class Clock:
    """`now` never goes back, and counts seconds from some moment; `wall` is the time of day, as seconds
    since 1970, to be shown and never reckoned with; `random` gives numbers from 0 up to 1.
    """

    now: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    random: Callable[[], float] = random.random
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    wait: Wait = wait_for


#: The machine's.
CLOCK = Clock()
