"""Bytes as they come → lines, of any length. Knows nothing of what a line means."""

from __future__ import annotations


class LineBuffer:
    """Cuts chunks into lines; keeps what follows the last newline until the rest has come."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that this chunk completes, without empty ones."""
        head, newline, tail = chunk.partition(b"\n")
        self._parts.append(head)
        if not newline:
            return []
        first = b"".join(self._parts)
        *lines, rest = tail.split(b"\n")
        self._parts = [rest]
        return [line for line in (first, *lines) if line]
