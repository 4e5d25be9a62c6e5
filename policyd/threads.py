"""Threads for one purpose, so that nobody else's work can take them all. Imports nothing of ours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

Given = ParamSpec("Given")
Result = TypeVar("Result")


class Threads:
    """At most `count` threads, which are started when they are needed and end with this object."""

    def __init__(self, purpose: str, count: int = 1) -> None:
        self._executor = ThreadPoolExecutor(count, thread_name_prefix=purpose)

    async def run(
        self, function: Callable[Given, Result], *arguments: Given.args, **named: Given.kwargs
    ) -> Result:
        """Run a function beside the loop, after those that were there before."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, lambda: function(*arguments, **named))
