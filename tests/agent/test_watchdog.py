"""A loop that stalls ends the process, with its stacks told; a loop that runs does not."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import asyncio, time
from policyd.agent.watchdog import watch_loop

def stall():
    time.sleep({stall})

async def main():
    task = asyncio.create_task(watch_loop(2.5))
    await asyncio.sleep(0.1)
    stall()
    await asyncio.sleep({rest})
    task.cancel()

asyncio.run(main())
print("ended by itself")
"""


def run(stall: float, rest: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM.format(stall=stall, rest=rest)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_stalled_loop_ends_the_process_and_says_where_it_was() -> None:
    done = run(stall=30, rest=0)
    assert (done.returncode, done.stdout) == (1, "")
    assert "in stall" in done.stderr


def test_a_loop_that_runs_is_left_alone() -> None:
    done = run(stall=0.1, rest=4)
    assert (done.returncode, done.stdout) == (0, "ended by itself\n")
