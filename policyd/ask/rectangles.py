"""Who may reach whom, as rectangles: some hosts, other hosts, and what all of the first may send all of the
others. Every question of pairs stands on this. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple, TypeAlias

from policyd.ask.columns import Columns
from policyd.ask.gates import Gate
from policyd.ask.judged import Judged, whichever
from policyd.ask.world import World
from policyd.cluster.index import bits_of, mask_of
from policyd_compiler.ir import Host

#: What one direction lets through, by IPv4 and by IPv6, and the families in which its end has addresses.
_Door: TypeAlias = tuple[Judged, Judged, tuple[int, ...]]
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
    doors, entries = _entries(world)
    sending_groups = _groups(world, world.gates.egress)
    columns = Columns([entry.admitted for entry in entries], sending_groups.values())
    answers = _Answers(doors, [entry.door for entry in entries])
    for (egress, sending), senders in sending_groups.items():
        admitted = columns.holding(senders)
        for out in world.gates.rows(egress):
            found = answers.to((out.four, out.six, sending))
            reached: dict[int, int] = {}
            for number in bits_of(found.entries & admitted.any):
                door, group, receivers, _ = entries[number]
                there = reached.get(group)
                if there is None:
                    there = reached[group] = receivers & out.hosts
                if there and (here := admitted.by(number)):
                    yield Rectangle(here, there, found.by_door[door])


class _Entry(NamedTuple):
    """A group of receivers, what they let in, by its number, and from whom."""

    door: int
    group: int
    receivers: int
    admitted: int


def _entries(world: World) -> tuple[list[_Door], list[_Entry]]:
    """What receivers let in, by what that is: there are few such things, so few have to be put together."""
    doors: dict[_Door, int] = {}
    entries: list[_Entry] = []
    for group, ((ingress, receiving), receivers) in enumerate(_groups(world, world.gates.ingress).items()):
        for into in world.gates.rows(ingress):
            if into.four.possible or into.six.possible:
                number = doors.setdefault((into.four, into.six, receiving), len(doors))
                entries.append(_Entry(number, group, receivers, into.hosts))
    return list(doors), sorted(entries, key=attrgetter("door"))


def _groups(world: World, gates: Sequence[Gate | None]) -> dict[tuple[Gate | None, tuple[int, ...]], int]:
    """Hosts by their gate, and the families of which they have an address."""
    bits: dict[tuple[Gate | None, tuple[int, ...]], list[int]] = {}
    for bit, (gate, host) in enumerate(zip(gates, world.claims.hosts, strict=True)):
        bits.setdefault((gate, families_of(host)), []).append(bit)
    return {key: mask_of(found, len(gates)) for key, found in bits.items()}


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


@dataclass(frozen=True, slots=True)
class _Found:
    """What comes of one way out with each door, where that is anything, and the entries with such doors."""

    by_door: Mapping[int, Mapping[int, Judged]]
    entries: int


class _Answers:
    """Puts both directions together. There are few different ones."""

    def __init__(self, doors: Sequence[_Door], entries: Sequence[int]) -> None:
        """`entries`: the door of each, by its number."""
        self._doors = doors
        self._entries = [mask_of(numbers, len(entries)) for numbers in _by_door(doors, entries)]
        self._both: dict[tuple[Judged, Judged], Judged] = {}
        self._known: dict[_Door, _Found] = {}

    def to(self, out: _Door) -> _Found:
        """What passes one way out and each door, by family; nothing if that is nothing in any family."""
        known = self._known.get(out)
        if known is None:
            made = ((number, self._make(out, door)) for number, door in enumerate(self._doors))
            by_door = {number: found for number, found in made if found}
            entries = 0
            for number in by_door:
                entries |= self._entries[number]
            known = self._known[out] = _Found(by_door, entries)
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


def _by_door(doors: Sequence[_Door], entries: Sequence[int]) -> list[list[int]]:
    found: list[list[int]] = [[] for _ in doors]
    for number, door in enumerate(entries):
        found[door].append(number)
    return found
