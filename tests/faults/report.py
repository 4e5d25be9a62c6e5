"""Tells what a hunt finds while it lasts, and ends it cleanly: on Ctrl-C, on SIGTERM, when nobody listens."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path

from tests.faults.fault import Fault
from tests.faults.hunt import SOURCES, AlreadyFailing, Found, hunt


def run(root: Path, faults: Sequence[Fault], processes: int, sources: Sequence[str] = SOURCES) -> int:
    """Hunt for faults, and say what was found; the exit code."""
    try:
        return asyncio.run(_run(root, faults, processes, sources))
    except AlreadyFailing as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains at its end
        return 141


async def _run(root: Path, faults: Sequence[Fault], processes: int, sources: Sequence[str]) -> int:
    began = time.monotonic()
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    widths = max(len(fault.name) for fault in faults), max(len(fault.rule) for fault in faults)
    overlooked: list[Found] = []
    async with aclosing(hunt(root, faults, processes, sources)) as found:
        async for each in found:
            _say(_row(each, widths))
            if each.outcome != "caught":
                overlooked.append(each)
    for each in overlooked:
        _say(f"\n{each.outcome}: {each.fault.name} ({each.fault.caught_by})\n{each.text}")
    seconds = time.monotonic() - began
    _say(f"\n{len(faults) - len(overlooked)} of {len(faults)} faults caught in {seconds:.0f} s")
    return 1 if overlooked else 0


def _row(found: Found, widths: tuple[int, int]) -> str:
    """The fault, what it breaks, how long it took, and the test that caught it."""
    fault = found.fault
    test = fault.caught_by.removeprefix("tests/") if found.outcome == "caught" else ""
    columns = f"{fault.name:{widths[0]}}  {fault.rule:{widths[1]}}  {found.seconds:5.1f} s  {test}"
    return f"{found.outcome:8}  {columns}".rstrip()


def _say(text: str) -> None:
    """Print at once, also where the output is a pipe."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
