"""What the demonstration writes: its text, and on a terminal a line that says what is being done.

Must not decide what is written, nor where to.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TextIO

from policyd.demo.matrix import Paint

_CLEAR = "\r\x1b[K"


class Screen:
    """Writes text with `write`, and what goes on to the terminal `status`, if there is one."""

    def __init__(self, write: Callable[[str], None], paint: Paint, status: TextIO | None) -> None:
        self.paint = paint
        self._write = write
        self._status = status
        self._shown = False

    def say(self, text: str = "") -> None:
        """Write text, and end its line."""
        self.clear()
        self._write(text + "\n")

    def now(self, what: str) -> None:
        """Show what is being done, until the next text."""
        if self._status is not None:
            self._shown = True  # before it is: if it is stopped in the middle it must be known
            with suppress(OSError):  # the terminal went away; the next write of text will fail
                self._status.write(f"{_CLEAR}{self.paint(f'  {what} ...', 'dim')}")
                self._status.flush()

    def clear(self) -> None:
        """Take away what `now` has shown."""
        if self._status is not None and self._shown:
            self._shown = False
            with suppress(OSError):
                self._status.write(_CLEAR)
                self._status.flush()
