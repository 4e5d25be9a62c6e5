"""Waits until the packets that are in the kernel's rules now have left them.

A set must not be emptied while a packet may still ask it: the packet would miss, and a miss means "not
isolated". The kernel walks rules inside RCU, and `membarrier` returns when all walks that had begun are over.
"""

from __future__ import annotations

import asyncio
import ctypes
import platform
import time
from collections.abc import Callable

from policyd_compiler.nft.ast import Table
from policyd_compiler.ruleset import PartId, names_of, without

#: The system call's number; machines that are not listed wait a while instead.
_MEMBARRIER = {"x86_64": 324, "aarch64": 283}
_CMD_GLOBAL = 1
#: Far longer than a packet is in the rules, unless the whole processor stands still.
FALLBACK_SECONDS = 0.25


def wait_for_packets() -> None:
    """Block until no packet can be in rules that were replaced before this call (some 10 ms)."""
    number = _MEMBARRIER.get(platform.machine())
    if number is None or ctypes.CDLL(None, use_errno=True).syscall(number, _CMD_GLOBAL, 0, 0) != 0:
        time.sleep(FALLBACK_SECONDS)


class Leftovers:
    """What a table holds besides what is wanted: waits for the packets that may be in it."""

    def __init__(self, wait: Callable[[], None] = wait_for_packets) -> None:
        """`wait` blocks until packets that walk now are gone."""
        self._wait = wait
        self._names: frozenset[tuple[str, PartId]] = frozenset()
        self._waiting: asyncio.Future[None] | None = None

    @property
    def are_walked(self) -> bool:
        """Whether a wait is under way."""
        return self._waiting is not None and not self._waiting.done()

    @property
    def are_left(self) -> bool:
        """Whether a wait is over, and `take` gives what it was for."""
        return self._waiting is not None and self._waiting.done()

    def begin(self, held: Table, wanted: Table, notify: Callable[[], None]) -> None:
        """Wait beside all else until no packet is in what is left now, and call `notify` then.

        Raises RuntimeError if there can be no further thread.
        """
        self._names = names_of(held) - names_of(wanted)
        self._waiting = asyncio.get_running_loop().run_in_executor(None, self._wait)
        self._waiting.add_done_callback(lambda _: notify())

    def bring(self, table: Table) -> None:
        """This is in force now: packets may be in its parts."""
        if self._waiting is not None:
            self._names -= names_of(table)

    def take(self, held: Table) -> Table:
        """What the kernel holds, without what no packet can be in any more. Raises what the wait raised."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.result()
        return without(held, self._names)
