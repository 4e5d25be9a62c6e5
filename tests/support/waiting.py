"""Waiting for what sets no event, on a machine of any speed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

#: Seconds. A second is enough on a machine that has nothing else to do; a test's own limit is longer.
DEADLINE = 240.0


def nothing() -> str:
    return ""


def until(holds: Callable[[], object], told: Callable[[], object] = nothing) -> None:
    """Wait until something holds; after DEADLINE fail, with what `told` gives."""
    end = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < end, f"it did not happen in time {told()}"
        time.sleep(0.01)


async def eventually(holds: Callable[[], object], told: Callable[[], object] = nothing) -> None:
    """Wait likewise, while the loop goes on."""
    end = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < end, f"it did not happen in time {told()}"
        await asyncio.sleep(0.001)
