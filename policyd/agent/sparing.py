"""A look at what has changed, at a hundredth of a processor at most."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from policyd.agent.clock import Clock

#: How often it is asked whether anything has changed, in seconds: what comes together is one look.
REST_SECONDS = 10.0
#: After a look at least so many times as long as it took.
SHARE = 100.0


async def look_when_changed(
    changes: Callable[[], int | None], look: Callable[[], Awaitable[None]], clock: Clock
) -> None:
    """Look whenever that number is another, until cancelled; None: there is nothing to look at yet."""
    seen: int | None = None
    while True:
        count, took = changes(), 0.0
        if count is not None and count != seen:
            seen, began = count, clock.now()
            await look()
            took = clock.now() - began
        await clock.sleep(max(REST_SECONDS, took * SHARE))
