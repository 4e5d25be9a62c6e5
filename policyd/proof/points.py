"""Some addresses only: what a `Line` is to all numbers, for a proof that looks at few."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import TypeAlias

from policyd.proof.line import Line, Stretch


class Points:
    """Addresses that are told apart, and none beside; used as a `Line` is."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self._numbers = sorted(set(numbers))
        self._at = {number: at for at, number in enumerate(self._numbers)}
        self.count = len(self._numbers)
        self.full = (1 << self.count) - 1

    def mask(self, stretches: Iterable[Stretch]) -> int:
        """The bits of the addresses in these stretches."""
        found = 0
        for low, high in stretches:
            if low == high:
                at = self._at.get(low)
                found |= 0 if at is None else 1 << at
            else:
                first, behind = bisect_left(self._numbers, low), bisect_right(self._numbers, high)
                found |= (1 << behind) - (1 << first)
        return found

    def bit(self, number: int) -> int:
        """Which bit stands for one of the addresses. Raises KeyError for others."""
        return self._at[number]

    def find(self, number: int) -> int:
        """The same."""
        return self._at[number]

    def first(self, bit: int) -> int:
        """The address that a bit stands for."""
        return self._numbers[bit]


#: What tells addresses apart.
Addresses: TypeAlias = Line | Points
