"""Of many masks of hosts, which hold a host: the same matrix of bits, read by columns. Pure.

To combine a host with each of thousands of masks takes as long as these are. Here they lie one after another,
so that one slice has a byte of each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_

from policyd.cluster.index import bits_of

#: So many hosts are looked up one by one; more are combined with each mask.
_FEW = 64
#: By place in a byte: every byte → the digit of the bit that it has there.
_DIGITS = tuple(bytes(48 + (byte >> place & 1) for byte in range(256)) for place in range(8))


@dataclass(frozen=True, slots=True)
class Held:
    """Which masks hold any of some hosts, as a mask of their numbers, and which hosts each."""

    any: int
    _masks: Sequence[int]
    _hosts: int
    #: Hosts by the masks that hold them, where that is known; there are mostly few such.
    _alike: Sequence[tuple[int, int]] | None

    def by(self, number: int) -> int:
        """The hosts that a mask holds."""
        if self._alike is None:
            return self._hosts & self._masks[number]
        found = [hosts for column, hosts in self._alike if column >> number & 1]
        return found[0] if len(found) == 1 else reduce(or_, found, 0)


class Columns:
    """Which of these masks hold each of these groups of hosts."""

    def __init__(self, masks: Sequence[int], groups: Iterable[int]) -> None:
        self._masks = masks
        self._all = (1 << len(masks)) - 1
        few = (bits_of(group) for group in groups if group.bit_count() <= _FEW)
        self._of = dict(_columns(masks, sorted({host for hosts in few for host in hosts})))

    def holding(self, hosts: int) -> Held:
        """The masks that hold any of a group; of many hosts, those that may."""
        if hosts.bit_count() > _FEW:
            return Held(self._all, self._masks, hosts, None)
        alike: dict[int, tuple[int, int]] = {}
        for host in bits_of(hosts):
            column = self._of[host]
            alike[id(column)] = column, alike.get(id(column), (0, 0))[1] | 1 << host
        found = reduce(or_, (column for column, _ in alike.values()), 0)
        return Held(found, self._masks, hosts, tuple(alike.values()))


def _columns(masks: Sequence[int], hosts: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Each of these hosts, and the numbers of the masks that hold it; equal ones are one object.

    Neighbours have their bits in the same bytes of memory, so hosts are best in order.
    """
    size = max((mask.bit_length() for mask in masks), default=0) // 8 + 1
    matrix = b"".join(mask.to_bytes(size, "little") for mask in masks)
    known: dict[bytes, int] = {b"": 0}
    at, column = -1, b""
    for host in hosts:
        if at != host >> 3:
            at = host >> 3
            column = matrix[at::size] if at < size else b""
        digits = column.translate(_DIGITS[host & 7])
        found = known.get(digits)
        if found is None:
            found = known[digits] = int(digits[::-1], 2)
        yield host, found
