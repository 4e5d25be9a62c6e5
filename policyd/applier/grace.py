"""Waits until the packets that are in the kernel's rules now have left them.

A set must not be emptied while a packet may still ask it: the packet would miss, and a miss means "not
isolated". The kernel walks rules inside RCU, and `membarrier` returns when all walks that had begun are over.
"""

from __future__ import annotations

import ctypes
import platform
import time

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
