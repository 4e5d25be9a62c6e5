"""Threads are there before there is work: without memory one that is started later never begins."""

from __future__ import annotations

from pathlib import Path

from policyd.threads import start_threads


def test_no_thread_is_started_for_work_that_comes() -> None:
    executor = start_threads("test", 3)
    try:
        before = {path.name for path in Path("/proc/self/task").iterdir()}
        futures = [executor.submit(sum, (n, n)) for n in range(20)]
        assert [future.result() for future in futures] == [2 * n for n in range(20)]
        assert {path.name for path in Path("/proc/self/task").iterdir()} <= before
    finally:
        executor.shutdown()
