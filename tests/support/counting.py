"""Work counted, not timed: the same on a slow machine, on a busy one, and tomorrow."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType


def lines_run(work: Callable[[], object]) -> int:
    """Count the lines of Python that a call runs, each turn of a loop by itself.

    What a library does in C is one line, whatever it costs.
    """
    count = 0

    def trace(frame: FrameType, event: str, argument: object) -> object:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)  # type: ignore[arg-type]  # typeshed wants its own recursive type
    try:
        work()
    finally:
        sys.settrace(before)
    return count
