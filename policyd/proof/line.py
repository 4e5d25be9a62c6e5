"""Numbers cut into stretches that nothing tells apart, so that a set of numbers is a mask of bits.

A `Line` is all numbers from 0 to some highest one, cut at every bound that a ruleset or a policy names. Bit i
of a mask stands for the i-th stretch. Nothing here is the compiler's: it makes a ruleset by other algebra.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import compress

#: Inclusive.
Stretch = tuple[int, int]

#: Of an address, by family.
BITS = {4: 32, 6: 128}
_BITS = bytes.maketrans(b"01", b"\x00\x01")


def block(network: int, length: int, family: int) -> Stretch:
    """The addresses of a prefix."""
    return network, network + (1 << BITS[family] - length) - 1


class Line:
    """All numbers of so many bits, cut where these stretches begin and end."""

    def __init__(self, bits: int, stretches: Iterable[Stretch]) -> None:
        end = 1 << bits
        starts = {0}
        for low, high in stretches:
            starts.add(low)
            starts.add(high + 1)
        starts.discard(end)
        self._starts = sorted(starts)
        self._end = end
        self._at = {start: at for at, start in enumerate(self._starts)}
        self._at[end] = len(self._starts)
        self.count = len(self._starts)
        self.full = (1 << self.count) - 1

    def mask(self, stretches: Iterable[Stretch]) -> int:
        """The bits of stretches that were given when the line was cut. Raises KeyError for others."""
        at, wide = self._at, 0
        narrow = bytearray(self.count // 8 + 1)
        for low, high in stretches:
            first, behind = at[low], at[high + 1]
            if behind == first + 1:
                narrow[first >> 3] |= 1 << (first & 7)
            else:
                wide |= (1 << behind) - (1 << first)
        return wide | int.from_bytes(narrow, "little")

    def bit(self, number: int) -> int:
        """Which bit stands for a number that a stretch begins with. Raises KeyError for others."""
        return self._at[number]

    def find(self, number: int) -> int:
        """Which bit stands for any number."""
        return bisect_right(self._starts, number) - 1

    def stretch(self, bit: int) -> Stretch:
        """The numbers that a bit stands for."""
        last = self._starts[bit + 1] if bit + 1 < self.count else self._end
        return self._starts[bit], last - 1

    def first(self, bit: int) -> int:
        """The least number that a bit stands for."""
        return self._starts[bit]


def mask_of(bits: Iterable[int], count: int) -> int:
    """The mask of some bits, each below `count`."""
    found = bytearray(count // 8 + 1)
    for bit in bits:
        found[bit >> 3] |= 1 << (bit & 7)
    return int.from_bytes(found, "little")


def bits_of(mask: int) -> Iterator[int]:
    """The numbers of the bits that are set, ascending."""
    selectors = bin(mask)[:1:-1].encode().translate(_BITS)
    return compress(range(len(selectors)), selectors)


def lowest(mask: int) -> int:
    """The number of the lowest bit that is set."""
    return (mask & -mask).bit_length() - 1
