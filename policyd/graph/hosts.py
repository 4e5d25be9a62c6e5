"""Where hosts stand in the sets of isolations: what comes and goes there as pods do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from policyd.graph.claims import Row
from policyd.graph.ledger import Ledger
from policyd.graph.profiles import Counts, Profile, Profiles
from policyd.graph.units import Unit
from policyd_compiler.delta import Changes
from policyd_compiler.errors import CompilerBug
from policyd_compiler.nft.keys import SetName
from policyd_compiler.one_host import CannotTell
from policyd_compiler.walks import Answer

Found: TypeAlias = dict[SetName, dict[int, Answer]]


@dataclass(slots=True)
class Turned:
    """What a change turns, beside elements.

    `rules` came to life or died, by number. `idle`: whether peers select nobody, or no longer nobody.
    `touched`: the isolations, by place, of which rules name more or fewer hosts. `dirty`: those that must be
    resolved and lowered again.
    """

    rules: set[int] = field(default_factory=set)
    idle: bool = False
    touched: set[int] = field(default_factory=set)
    dirty: set[int] = field(default_factory=set)


class Hosts:
    """The isolations of a node, by place, and who asks which sets."""

    def __init__(self, profiles: Profiles, ledger: Ledger, counts: Counts) -> None:
        self.units: dict[int, Unit] = {}
        self._profiles, self._ledger, self._counts = profiles, ledger, counts
        self._users: dict[SetName, set[int]] = {}
        self._with_tiers: set[int] = set()

    def add(self, unit: Unit) -> None:
        """An isolation comes, with its sets in the ledger."""
        self.units[unit.place] = unit
        if unit.has_tiers:
            self._with_tiers.add(unit.place)
        self._profiles.add(unit)
        for name in unit.host.names():
            self._users.setdefault(name, set()).add(unit.place)

    def remove(self, unit: Unit) -> None:
        """An isolation goes, and with it the sets that no other asks."""
        del self.units[unit.place]
        self._with_tiers.discard(unit.place)
        self._profiles.remove(unit)
        for name in dict.fromkeys(unit.host.names()):
            users = self._users[name]
            users.discard(unit.place)
            if not users:
                del self._users[name]
                self._ledger.drop((name,))

    def count(self, row: Row, found: Found, turned: Turned, *, by: int) -> None:
        """A host comes or goes: what rules make of it, and in `found` its elements."""
        *each, whole = self._profiles.of(row.pods)
        selecting = self._profiles.selecting
        for profile in each:
            for number in profile.selectors:
                selecting[number] = count = selecting[number] + by
                turned.idle = turned.idle or count in (0, by)
        turned.dirty |= whole.unsure
        if len(row.pods) > 1:
            # A Deny means it where any of them is selected, and a Pass may mean some of them (NP-166).
            turned.dirty |= self._with_tiers
        self._count_rules(whole, turned, by)
        for place, matching, grouped in whole.named:
            if place not in turned.dirty:
                try:
                    self._place(place, matching, grouped, row, found)
                except CannotTell:
                    turned.dirty.add(place)

    def changes(self, before: Found, after: Found, turned: Turned) -> Changes:
        """What changes in sets that others ask than dirty ones."""
        kept = {
            name: of_part
            for name, of_part in _differing(before, after).items()
            if not self._users.get(name, set()) <= turned.dirty
        }
        self._counts.elements += sum(map(len, kept.values()))
        return kept

    def _place(
        self, place: int, matching: tuple[int, ...], grouped: tuple[bool, ...], row: Row, found: Found
    ) -> None:
        for name, address, answer in self.units[place].host.elements(matching, grouped, row.host):
            of_part = found.setdefault(name, {})
            if of_part.setdefault(address, answer) != answer:
                raise CompilerBug(f"two isolations differ about {name}")

    def _count_rules(self, profile: Profile, turned: Turned, by: int) -> None:
        for number in profile.rules:
            rule = self._profiles.rules[number]
            was_alive = rule.is_alive
            rule.hosts += by
            if was_alive != rule.is_alive:
                turned.rules ^= {number}
            turned.touched.update(place for place, _ in rule.users)


def _differing(before: Found, after: Found) -> dict[SetName, Mapping[int, tuple[Answer, Answer]]]:
    """By part and address, what look-ups find before and after, where that differs."""
    found: dict[SetName, Mapping[int, tuple[Answer, Answer]]] = {}
    for name in before.keys() | after.keys():
        old, new = before.get(name, {}), after.get(name, {})
        pairs = ((address, old.get(address), new.get(address)) for address in old | new)
        if differing := {address: (one, other) for address, one, other in pairs if one != other}:
            found[name] = differing
    return found
