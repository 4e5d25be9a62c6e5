"""Threads are there before there is work: without memory one that is started later never begins."""

from __future__ import annotations

import asyncio
import sys
import threading
from pathlib import Path

import pytest

from policyd.threads import TURN_SECONDS, start_threads, work_beside_loop


def test_no_thread_is_started_for_work_that_comes() -> None:
    executor = start_threads("test", 3)
    try:
        before = {path.name for path in Path("/proc/self/task").iterdir()}
        futures = [executor.submit(sum, (n, n)) for n in range(20)]
        assert [future.result() for future in futures] == [2 * n for n in range(20)]
        assert {path.name for path in Path("/proc/self/task").iterdir()} <= before
    finally:
        executor.shutdown()


async def test_threads_beside_a_loop_take_short_turns() -> None:
    before = sys.getswitchinterval()
    try:
        work_beside_loop("beside", 1)
        assert sys.getswitchinterval() == pytest.approx(TURN_SECONDS)
        assert (await asyncio.to_thread(lambda: threading.current_thread().name)).startswith("beside")
    finally:
        sys.setswitchinterval(before)
