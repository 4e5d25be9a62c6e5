"""One way to choose, so that Hypothesis and a seeded generator share the same grammar.

Choices shrink towards the first option, the low end and `False`: put the plain thing first.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache
from typing import Any, Protocol, TypeVar

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

T = TypeVar("T")


class Chooser(Protocol):
    def number(self, low: int, high: int) -> int:
        """Choose a number from low to high, both included."""
        ...

    def one_of(self, options: Sequence[T]) -> T: ...

    def chance(self, percent: int) -> bool: ...


class RandomChooser:
    """Choose with a seeded generator."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def number(self, low: int, high: int) -> int:
        return self._rng.randint(low, high)

    def one_of(self, options: Sequence[T]) -> T:
        return self._rng.choice(options)

    def chance(self, percent: int) -> bool:
        return self._rng.randrange(100) >= 100 - percent


class DrawChooser:
    """Choose as Hypothesis wishes."""

    def __init__(self, draw: DrawFn) -> None:
        self._draw = draw

    def number(self, low: int, high: int) -> int:
        return self._draw(_numbers(low, high))

    def one_of(self, options: Sequence[T]) -> T:
        return options[self._draw(_numbers(0, len(options) - 1))]

    def chance(self, percent: int) -> bool:
        return self._draw(_numbers(0, 99)) >= 100 - percent


@cache
def _numbers(low: int, high: int) -> SearchStrategy[int]:
    return st.integers(low, high)


def some(chooser: Chooser, options: Sequence[T], low: int, high: int) -> list[T]:
    """Choose between low and high options, each at most once, in the order given."""
    left = list(range(len(options)))
    count = chooser.number(low, min(high, len(options)))
    taken = [left.pop(chooser.number(0, len(left) - 1)) for _ in range(count)]
    return [options[index] for index in sorted(taken)]


def put(manifest: dict[str, Any], key: str, chooser: Chooser, value: Any) -> None:
    """Set a key; write an empty value as missing, null or empty, which all mean the same."""
    if value:
        manifest[key] = value
        return
    match chooser.number(0, 2):
        case 0:
            pass  # missing
        case 1:
            manifest[key] = None
        case _:
            manifest[key] = value
