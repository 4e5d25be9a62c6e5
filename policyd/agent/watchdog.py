"""Ends the agent when its event loop stalls, with all stacks logged: a restart is better than silence."""

from __future__ import annotations

import asyncio
import faulthandler

BEAT_SECONDS = 1.0
STDERR = 2


async def watch_loop(stall_seconds: float) -> None:
    """Beat until cancelled. If no beat comes for so long, the process says where it is and exits with 1.

    The timer is a thread of the interpreter's own, in C: it needs neither the loop nor the global lock.
    """
    try:
        while True:
            faulthandler.dump_traceback_later(stall_seconds, exit=True, file=STDERR)
            await asyncio.sleep(BEAT_SECONDS)
    finally:
        faulthandler.cancel_dump_traceback_later()
