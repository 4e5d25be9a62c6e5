"""How long to wait before trying again what failed. Pure: chance comes in as a parameter.

The agent uses it for the kernel, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pauses:
    """Seconds. `first` and `most` bound the backoff, `slow` is for what only a person can fix.

    `max_retry_after` bounds a Retry-After: a proxy's idea of an hour must not make policyd blind for one.
    """

    first: float = 0.2
    most: float = 30.0
    slow: float = 30.0
    max_retry_after: float = 60.0


DEFAULT_PAUSES = Pauses()


def backoff(failures: int, chance: float, pauses: Pauses = DEFAULT_PAUSES) -> float:
    """Full jitter: a random part of a bound that doubles with each failure, lest nodes march in step."""
    return chance * min(pauses.most, pauses.first * 2.0 ** min(failures, 16))


class Backoff:
    """The pauses between questions to one server."""

    def __init__(self, pauses: Pauses, random: Callable[[], float]) -> None:
        self._pauses = pauses
        self._random = random
        self._failures = 0

    def succeed(self) -> None:
        """The server talks to us again."""
        self._failures = 0

    def fail(self, retry_after: float | None = None) -> float:
        """The pause after one more failure: never less than what the server wishes."""
        pause = backoff(self._failures, self._random(), self._pauses)
        self._failures += 1
        return min(retry_after or 0.0, self._pauses.max_retry_after) + pause

    def slow(self) -> float:
        """The pause where a quick retry cannot help: between one half and all of it."""
        return self._pauses.slow * (0.5 + 0.5 * self._random())
