"""What can go wrong with a test cluster, and the one way to wait for it: with a deadline and a reason."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from policyd.errors import PolicydError

LOG_LINES = 15
POLL_SECONDS = 0.1


class ClusterFailed(PolicydError):
    """A component ended by itself, a deadline passed, or a command was refused."""


def wait_until(question: Callable[[], bool], what: str, *, seconds: float, check: Callable[[], None]) -> None:
    """Ask until the answer is yes; `check` raises when there is nothing left to wait for."""
    deadline = time.monotonic() + seconds
    while not question():
        check()
        if time.monotonic() > deadline:
            raise ClusterFailed(f"gave up after {seconds:g} s: {what}")
        time.sleep(POLL_SECONDS)


def tail(log: Path) -> str:
    """Give the last lines of a log, indented, for the end of a message."""
    try:
        lines = log.read_text(errors="replace").splitlines()[-LOG_LINES:]
    except FileNotFoundError:
        lines = []
    return "".join(f"\n    {line}" for line in lines) or "\n    (its log is empty)"
