"""Tries every row of the tables on a bed, and says of each shot whether it came through."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from tests.attacks import groups, honest, link, protocols, sources, underlay
from tests.attacks.attack import Attack, Honest, Row, places
from tests.attacks.bed import Bed, Shot
from tests.attacks.open_rows import OPEN

#: One after another, so that what attacks on the link leave behind spoils no other.
TABLES: tuple[tuple[Row, ...], ...] = (
    sources.ATTACKS,
    protocols.ATTACKS,
    groups.ATTACKS,
    underlay.ATTACKS,
    link.ATTACKS,
    honest.HONEST,
)
ATTACKS: tuple[Attack, ...] = (
    *sources.ATTACKS,
    *protocols.ATTACKS,
    *groups.ATTACKS,
    *link.ATTACKS,
    *underlay.ATTACKS,
)
HONEST: tuple[Honest, ...] = honest.HONEST

#: By name of a row and place: of each label whether one of its shots came through.
Seen: TypeAlias = Mapping[tuple[str, str], Mapping[str, bool]]


@dataclass(frozen=True, slots=True)
class Judged:
    """What came through on a bed `before` there were rules, and with them (`under`)."""

    bed: Bed
    before: Seen
    under: Seen

    @property
    def places(self) -> tuple[str, ...]:
        return tuple(place for place, _ in places(self.bed.wiring))


def judge(bed: Bed, awaited: Callable[[Row, str], bool], without: Collection[str] = frozenset()) -> Seen:
    """Try everything that can be tried on this bed; `awaited` says which rows are waited for, and where.

    `without`: rows that are not tried.
    """
    found: dict[tuple[str, str], Mapping[str, bool]] = {}
    for table in TABLES:
        tried: dict[tuple[str, str], list[Shot]] = {}
        expected: set[int] = set()
        for row in table:
            for place, family in places(bed.wiring):
                if place in row.at.split() and row.name not in without:
                    shots = tried[row.name, place] = list(row.shots(bed, family))
                    expected |= {shot.mark for shot in shots if awaited(row, place)}
        through = bed.volley((shot for shots in tried.values() for shot in shots), expected)
        found |= {key: by_label(shots, through) for key, shots in tried.items()}
        bed.heal()
    return found


def by_label(shots: list[Shot], through: set[int]) -> Mapping[str, bool]:
    """Of each shot whether it came through, by its label; a label that comes again has its number."""
    found: dict[str, bool] = {}
    for shot in shots:
        label, number = shot.label, 1
        while label in found:
            number += 1
            label = f"{shot.label}, {number}"
        found[label] = shot.mark in through
    return found


def comes_without_rules(row: Row, place: str) -> bool:
    """Whether nothing but rules can stop it there."""
    return isinstance(row, Honest) or place not in row.kernel.split()


def must_come(row: Row, place: str) -> bool:
    """Whether it comes through the rules of policyd, too."""
    return isinstance(row, Honest) or place in row.admitted.split()


def open_at(row: Row, place: str) -> bool:
    """Whether it does not hold there yet."""
    return place in OPEN.get(row.name, "").split()
