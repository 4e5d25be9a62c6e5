"""Reads the elements of one set or verdict map, and compares them with what they should be.

`nft -j list` of a whole table takes a second for 100 000 elements and much memory; this reads one part, in
microseconds for each element. It changes nothing.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import cast

from policyd.errors import EnvironmentRefused
from policyd.netlink.element_codec import Part, PartT, decode
from policyd.netlink.elements import FAMILIES, ElementsBroken
from policyd.netlink.messages import (
    ACK,
    DUMP,
    NETFILTER,
    REQUEST,
    answers,
    attribute,
    attributes,
    message,
    open_socket,
    pairs,
    understood,
)
from policyd.netlink.netfilter import read_generation
from policyd_compiler.nft.ast import Set, TableFamily, VerdictMap
from policyd_compiler.nft.commands import Change, Elements, add
from policyd_compiler.nft.keys import Key

_GET, _GET_SET = 10 << 8 | 13, 10 << 8 | 10
_TABLE, _SET, _ELEMENTS = 1, 2, 3
_DESCRIPTION, _COUNT, _SIZE = 9, 20, 1
_FAMILY_BYTES = 4
#: A dump comes in parts, and of elements the kernel does not mark one during which something changed. So a
#: transaction of anybody meanwhile spoils it: on some nodes there is one every few milliseconds.
_ATTEMPTS = 50


class ElementReader:
    """Reads in the network namespace in which it was made; one thread at a time."""

    def __init__(self) -> None:
        """Raises EnvironmentRefused if no socket can be had."""
        try:
            self._socket = open_socket(NETFILTER)
        except OSError as error:
            raise EnvironmentRefused(f"there is no way to nftables: {error.strerror or error}") from error
        self._sequence = 0

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()

    def read(self, table: str, part: PartT, family: TableFamily = "inet") -> PartT | None:
        """The part with the elements that the kernel holds under its name, sorted; None where it is absent.

        Name, type and `interval` of `part` say what is read; the rest of it comes back as it is. What is read
        is of one moment, and whole. Raises ForeignContent for elements that it cannot hold; ElementsBroken
        where something changed all the while; EnvironmentRefused.
        """
        try:
            return self._read(table, part, family)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return None
            raise EnvironmentRefused(
                f"the elements of {part.name} cannot be read: {error.strerror or error}"
            ) from error

    def _read(self, table: str, part: PartT, family: TableFamily) -> PartT:
        head = bytes((FAMILIES[family], 0, 0, 0))
        place = attribute(_TABLE, table.encode() + b"\0") + attribute(_SET, part.name.encode() + b"\0")
        last: PartT | None = None
        for _ in range(_ATTEMPTS):
            before = read_generation(self._socket)
            # Read to the end before anything is decoded: the longer it takes, the more comes between.
            found = list(self._ask(_GET, DUMP, head + place))
            room = None if part.interval else self._room(head + place)
            if read_generation(self._socket) != before:
                continue
            held = decode([value for each in found for kind, value in each if kind == _ELEMENTS], part)
            if room is None or room.agrees(held) or (room.count is None and held == last):
                return held
            last = held
        raise ElementsBroken(f"the elements of {part.name} cannot be read: something changes all the while")

    def _room(self, place: bytes) -> _Room:
        """What the kernel says of the set itself."""
        with understood():
            [found] = (dict(each) for each in self._ask(_GET_SET, ACK, place))
            count = int.from_bytes(found[_COUNT]) if _COUNT in found else None
            return _Room(count, _SIZE in attributes(found.get(_DESCRIPTION, b"")))

    def _ask(self, what: int, how: int, question: bytes) -> Iterator[list[tuple[int, bytes]]]:
        self._sequence = (self._sequence + 1) & 0x7FFF_FFFF
        self._socket.send(message(what, REQUEST | how, question, self._sequence))
        for each in answers(self._socket, self._sequence):
            yield list(pairs(each.payload, _FAMILY_BYTES))


@dataclass(frozen=True, slots=True)
class _Room:
    """How many elements a set of single keys holds, where the kernel counts (6.17), if it has a size.

    A set without a size grows behind a transaction's back, and a dump during that loses elements, or gives
    some twice. Measured, 10 000 elements on a busy machine: 11 dumps of 300, up to 1 784 lost.
    """

    count: int | None
    is_sized: bool

    def agrees(self, held: Part) -> bool:
        """Whether what a dump gave can be taken for the whole."""
        if self.count is None:
            return self.is_sized
        return self.count == len(held.elements)


@dataclass(frozen=True, slots=True)
class Difference:
    """What a part holds that it should not, what is missing, and which keys have other data than wanted.

    `changed` is of maps only. All are sorted.
    """

    surplus: tuple[Key, ...] = ()
    missing: tuple[Key, ...] = ()
    changed: tuple[Key, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.surplus or self.missing or self.changed)


def compare(held: PartT, wanted: PartT) -> Difference:
    """How the elements held differ from those wanted. Pure."""
    there, due = _contents(held), _contents(wanted)
    if there == due:
        return Difference()
    both = there.keys() & due.keys()
    return Difference(
        _sorted(there.keys() - both),
        _sorted(due.keys() - both),
        _sorted({key for key in both if there[key] != due[key]}),
    )


def repair(difference: Difference, wanted: Part) -> tuple[Change, ...]:
    """The changes that make the part what is wanted, in one transaction. Pure.

    A key with other data is deleted and added: on kernels before 6.17 a packet may find neither meanwhile.
    """
    away = (*difference.surplus, *difference.changed)
    due = {*difference.missing, *difference.changed}
    more: Part
    match wanted:
        case Set():
            more = replace(wanted, elements=tuple(key for key in wanted.elements if key in due))
        case VerdictMap():
            more = replace(wanted, elements=tuple(pair for pair in wanted.elements if pair[0] in due))
    changes = [Change("delete", Elements(wanted.name, wanted.key, away, wanted.interval))] if away else []
    return (*changes, add(more)) if more.elements else tuple(changes)


def _contents(part: Part) -> dict[Key, object]:
    match part:
        case Set(elements=keys):
            return dict.fromkeys(keys)
        case VerdictMap(elements=elements):
            return dict(elements)


def _sorted(keys: set[Key]) -> tuple[Key, ...]:
    return tuple(cast("list[Key]", sorted(cast("set[int]", keys))))
