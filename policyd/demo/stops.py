"""Ctrl-C, SIGTERM and a terminal that goes away, as an exception that comes only where nothing is lost by it.

What must be undone is made and undone outside of `allowed`; what may take long, or block, happens inside.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """The process was asked to stop, by the signal `number`."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Stops:
    """Notes the signals, from now to the end of the process: what comes after must not be cut off either."""

    def __init__(self) -> None:
        self._number = 0
        self._allowed = False
        for number in NUMBERS:
            # Who started us with a signal ignored, as nohup does, wants it ignored.
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._note)

    @contextmanager
    def allowed(self) -> Iterator[None]:
        """Raise Stopped in here, also for a signal that came before."""
        self._allowed = True
        try:
            if self._number:
                raise Stopped(self._number)
            yield
        finally:
            self._allowed = False

    def _note(self, number: int, _: FrameType | None) -> None:
        self._number = self._number or number
        if self._allowed:
            # Once: what is undone on the way out is not to be cut off by the next signal.
            self._allowed = False
            raise Stopped(self._number)
