"""Threads for one purpose, so that nobody else's work can take them all. Imports nothing of ours."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import ParamSpec, TypeVar

Given = ParamSpec("Given")
Result = TypeVar("Result")


#: After so long a thread that computes lets others go on. Python's 5 ms are waited at each step of a loop
#: that waits for threads: four steps beside a busy one took 64 to 80 ms in one of 100 cases, with this 19.
TURN_SECONDS = 0.001


def work_beside_loop(purpose: str, count: int) -> None:
    """Give the running loop threads of its own, and their turns to all threads of the process."""
    asyncio.get_running_loop().set_default_executor(start_threads(purpose, count))
    sys.setswitchinterval(TURN_SECONDS)


def start_threads(purpose: str, count: int) -> ThreadPoolExecutor:
    """Threads that are there from the beginning.

    To start one later can wait for ever: Python waits for its first step, and without memory there is none.
    """
    executor = ThreadPoolExecutor(count, thread_name_prefix=purpose)
    together = Barrier(count + 1)
    for _ in range(count):
        executor.submit(together.wait)
    together.wait()
    return executor


class Threads:
    """`count` threads, which end with this object."""

    def __init__(self, purpose: str, count: int = 1) -> None:
        self._executor = start_threads(purpose, count)

    def wait(self, function: Callable[[], Result]) -> Result:
        """Run a function there, and block until it is done."""
        return self._executor.submit(function).result()

    async def run(
        self, function: Callable[Given, Result], *arguments: Given.args, **named: Given.kwargs
    ) -> Result:
        """Run a function alongside the loop, after those that were there before."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, lambda: function(*arguments, **named))
