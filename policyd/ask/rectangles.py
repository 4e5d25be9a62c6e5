"""Who may reach whom, as rectangles: some hosts, other hosts, and what all of the first may send all of the
others. Every question of pairs stands on this. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from policyd.ask.gates import Gate
from policyd.ask.judged import Judged, whichever
from policyd.ask.world import World
from policyd.cluster.index import bits_of
from policyd_compiler.ir import Host

#: What one direction lets through, by IPv4 and by IPv6, and the families in which its end has addresses.
_Door: TypeAlias = tuple[Judged, Judged, tuple[int, ...]]
#: So many hosts are looked up one by one.
_FEW = 16
#: The key of an answer of which the family is not known, as an address is not.
ANY_FAMILY = 0


@dataclass(frozen=True, slots=True)
class Rectangle:
    """`answers` by family; where an address is not known there is one for both, ANY_FAMILY."""

    sources: int
    destinations: int
    answers: Mapping[int, Judged]


def rectangles(world: World) -> Iterator[Rectangle]:
    """Rectangles that hold every ordered pair of hosts of which anything is possible, each once.

    A host and itself is among the pairs; it means nothing.
    """
    answers = _Answers()
    # What receivers let in, by what that is: there are few such things, so few have to be put together.
    doors: dict[_Door, list[tuple[int, int]]] = {}
    for (ingress, receiving), receivers in _groups(world, world.gates.ingress).items():
        for into in world.gates.rows(ingress):
            if into.four.possible or into.six.possible:
                doors.setdefault((into.four, into.six, receiving), []).append((receivers, into.hosts))
    behind_doors = _Behind([(door, *each) for door, behind in doors.items() for each in behind])
    for (egress, sending), senders in _groups(world, world.gates.egress).items():
        admitting = behind_doors.admitting(senders)
        for out in world.gates.rows(egress):
            way = (out.four, out.six, sending)
            for door, receivers, here in admitting:
                there = receivers & out.hosts
                if there and (found := answers.of(way, door)):
                    yield Rectangle(here, there, found)


class _Behind:
    """What receivers let in, and whom: found by who sends. Most senders are few, and most let few in."""

    def __init__(self, entries: Sequence[tuple[_Door, int, int]]) -> None:
        self._entries = entries
        size = max((admitted.bit_length() for _, _, admitted in entries), default=0) // 8 + 1
        #: A bit of bytes is looked up at once, where to combine masks takes as long as these are.
        self._bytes = [admitted.to_bytes(size, "little") for _, _, admitted in entries]
        self._size = size

    def admitting(self, senders: int) -> list[tuple[_Door, int, int]]:
        """The doors, the receivers behind them, and which of these senders they let in; in order."""
        numbers: Iterable[int] = range(len(self._entries))
        if senders.bit_count() <= _FEW:
            found: set[int] = set()
            for host in bits_of(senders):
                place, bit = host >> 3, 1 << (host & 7)
                if place < self._size:
                    found.update([n for n, known in enumerate(self._bytes) if known[place] & bit])
            numbers = sorted(found)
        each = (self._entries[number] for number in numbers)
        return [(door, behind, here) for door, behind, let_in in each if (here := senders & let_in)]


def _groups(world: World, gates: Sequence[Gate | None]) -> dict[tuple[Gate | None, tuple[int, ...]], int]:
    """Hosts by their gate, and the families of which they have an address."""
    bits: dict[tuple[Gate | None, tuple[int, ...]], bytearray] = {}
    size = len(gates) // 8 + 1
    for bit, (gate, host) in enumerate(zip(gates, world.claims.hosts, strict=True)):
        mask = bits.get((gate, families_of(host)))
        if mask is None:
            mask = bits[gate, families_of(host)] = bytearray(size)
        mask[bit >> 3] |= 1 << (bit & 7)
    return {key: int.from_bytes(mask, "little") for key, mask in bits.items()}


def families_of(host: Host) -> tuple[int, ...]:
    """The families of which a host has an address; none if that is not known."""
    if host.v4 is None:
        return () if host.v6 is None else (6,)
    return (4,) if host.v6 is None else (4, 6)


def families_of_pair(sending: tuple[int, ...], receiving: tuple[int, ...]) -> tuple[int, ...]:
    """In which families two hosts can talk, ANY_FAMILY before those of which one may be missing."""
    if sending and receiving:
        return tuple(family for family in sending if family in receiving)
    found = sending or receiving or (4, 6)
    return (ANY_FAMILY, *found) if len(found) > 1 else found


class _Answers:
    """Puts both directions together. There are few different ones."""

    def __init__(self) -> None:
        self._both: dict[tuple[Judged, Judged], Judged] = {}
        self._known: dict[tuple[_Door, _Door], dict[int, Judged]] = {}

    def of(self, out: _Door, into: _Door) -> dict[int, Judged]:
        """What passes both, by family; nothing if that is nothing in any family."""
        known = self._known.get((out, into))
        if known is None:
            known = self._known[out, into] = self._make(out, into)
        return known

    def _make(self, out: _Door, into: _Door) -> dict[int, Judged]:
        families = families_of_pair(out[2], into[2])
        found = {
            family: self._and(out[family == 6], into[family == 6])  # type: ignore[arg-type]
            for family in families
            if family
        }
        if ANY_FAMILY in families:
            found = {ANY_FAMILY: whichever(found.values())}
        return found if any(judged.possible for judged in found.values()) else {}

    def _and(self, out: Judged, into: Judged) -> Judged:
        known = self._both.get((out, into))
        if known is None:
            known = self._both[out, into] = out & into
        return known
