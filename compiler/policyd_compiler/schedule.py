"""Changes between judges: what must come into force before what, so that no packet passes by half of each.

A packet must be let pass by all judges that it meets. One that is denied before and after, by different
judges, could pass where the one that denied it lets it pass already and the other still does. So what narrows
for a packet is never changed after what widens for it, and before it where what widens is met later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import TypeAlias

from policyd_compiler.allowance import Allowances, Effect
from policyd_compiler.nft.ast import Verdict
from policyd_compiler.nft.keys import KeyType, SetName
from policyd_compiler.turns import Group, Op, Turn, Unit, at_once, divide, settle, turns
from policyd_compiler.walks import HELD, Answer, Judge, Walks

#: An address, as an element of sets and maps.
Place: TypeAlias = tuple[KeyType, int]
#: All that changes for an address, sorted by part.
Ops: TypeAlias = tuple[Op, ...]
Find: TypeAlias = Callable[[SetName, int], Answer]


@dataclass(frozen=True, slots=True)
class _Reading:
    """What changes of a kind do, whatever address has them: `judges` are concerned, each by one group.

    `suspects`: pairs of judges that a packet may meet in turn, of which the first may let less of it pass and
    the second more.
    """

    groups: tuple[Group, ...]
    judges: Mapping[Judge, int]
    suspects: tuple[tuple[Judge, Judge], ...]


#: A group of an address. An edge: the second is not before the first, with `True` it is after it.
_Node: TypeAlias = tuple[Place, int]
_Edge: TypeAlias = tuple[_Node, _Node, bool]


class Scheduler:
    """Schedules changes. What it finds out about changes of a kind it keeps: most are alike."""

    def __init__(self, walks: Walks, allowances: Allowances) -> None:
        self._walks = walks
        self._allowances = allowances
        self._readings: dict[Ops, _Reading | None] = {}

    @property
    def kinds(self) -> int:
        """Of how many kinds of changes it keeps what it found out."""
        return len(self._readings)

    def schedule(self, ops: Mapping[Place, Ops], find: Find) -> dict[Place, dict[SetName, int]] | None:
        """The number of the step in which each element changes; None where no order is known to be safe.

        `find` says what look-ups find before, in any part.
        """
        readings = {place: self._read(of_place) for place, of_place in ops.items()}
        effects = _Effects(self._allowances, ops, find)
        units: dict[_Node, Unit] = {}
        for place, reading in readings.items():
            for number, group in enumerate(reading.groups):
                safe = all(effects.are_safe(judge, place) for judge in group.doubts)
                unit = at_once(group) if safe else group.careful
                if unit is None:
                    return None
                units[place, number] = unit
        starts = self._starts(readings, units, effects)
        if starts is None:
            return None
        found: dict[Place, dict[SetName, int]] = {place: {} for place in ops}
        for node, unit in units.items():
            start = starts.get(node, 0)
            found[node[0]].update((part, start + step) for part, step in unit.steps.items())
        return found

    def effect(self, ops: Mapping[Place, Ops], find: Find) -> Effect:
        """What these changes may do, all together, to what judges let pass."""
        effects = _Effects(self._allowances, ops, find)
        found = [
            effects.of(judge, place)
            for place, of_place in ops.items()
            for judge in dict.fromkeys(judge for op in of_place for judge in self._walks.askers[op.part])
        ]
        return Effect(any(each.narrows for each in found), any(each.widens for each in found))

    def _read(self, ops: Ops) -> _Reading:
        known = self._readings.get(ops)
        if known is None:
            known = self._readings[ops] = self._new_reading({op.part: op for op in ops})
        return known

    def _new_reading(self, ops: Mapping[SetName, Op]) -> _Reading:
        concerned = dict.fromkeys(judge for part in ops for judge in self._walks.askers[part])
        of = {judge: turns(judge, ops) for judge in concerned}
        groups = divide(ops, of)
        numbers = {part: number for number, group in enumerate(groups) for part in group.parts}
        judges = {judge: numbers[turned[0].part] for judge, turned in of.items()}
        effects = {judge: self._possible(judge, turned) for judge, turned in of.items()}
        suspects = tuple(
            (judge, behind)
            for judge in of
            if effects[judge].narrows
            for behind in self._walks.later.get(judge, frozenset()) & of.keys()
            if effects[behind].widens
        )
        return _Reading(groups, judges, suspects)

    def _possible(self, judge: Judge, of: Sequence[Turn]) -> Effect:
        """What the change may do for any address, whatever other parts have it."""
        changed = {turn.part for turn in of}
        first = next(number for number, ask in enumerate(judge.asks) if ask.part in changed)
        behind = {judge.rest}
        for ask in judge.asks[first:]:
            if ask.part not in changed:
                if ask.verdict is None:
                    return Effect(narrows=True, widens=True)
                behind.add(ask.verdict)
        before = {turn.before for turn in of if turn.before is not None}
        after = {turn.after for turn in of if turn.after is not None}
        if before and after:
            return self._allowances.effect(product(before | behind, after | behind))
        return self._allowances.effect(product(before or behind, after or behind))

    def _starts(
        self, readings: Mapping[Place, _Reading], units: Mapping[_Node, Unit], effects: _Effects
    ) -> dict[_Node, int] | None:
        """The first step of each group that does not begin with the first of all; None without an order."""
        edges = set(self._between_ends(readings, effects))
        places = {place for edge in edges for place, _ in edge[:2]}
        places.update(place for place, reading in readings.items() if effects.apart(reading, place))
        places.update(place for (place, _), unit in units.items() if unit.length > 1)
        for place in places:
            edges.update(self._at_one_end(place, readings[place], effects))
        starts = {node: 0 for edge in edges for node in edge[:2]}
        orders = []
        for first, second, apart in edges:
            length = units[first].length
            orders.append((first, second, length if apart else length - 1))
        return starts if settle(starts, orders) else None

    def _at_one_end(self, place: Place, reading: _Reading, effects: _Effects) -> Iterator[_Edge]:
        """Packets of which one end changes: the judges of the other end, which meet it one after another."""
        for judge, number in reading.judges.items():
            for behind in self._walks.later.get(judge, frozenset()) & reading.judges.keys():
                met = [
                    ((place, number), effects.of(judge, place)),
                    ((place, reading.judges[behind]), effects.of(behind, place)),
                ]
                yield from _edges(met)

    def _between_ends(self, readings: Mapping[Place, _Reading], effects: _Effects) -> Iterator[_Edge]:
        """Packets of which both ends change, so that the judges of both ends are concerned."""
        for key, roads in self._walks.roads.items():
            ends = [address for kind, address in readings if kind is key and address in self._walks.ends[key]]
            for road, source, target in product(roads, ends, ends):
                met = []
                for stage in road:
                    own, peer = (source, target) if stage.side == "saddr" else (target, source)
                    judge, reading = stage.judges.get(own), readings[key, peer]
                    if judge is not None and judge in reading.judges:
                        node = (key, peer), reading.judges[judge]
                        met.append((node, effects.of(judge, (key, peer))))
                yield from _edges(met)


def _edges(met: Sequence[tuple[_Node, Effect]]) -> Iterator[_Edge]:
    """What the changes that one packet meets in turn demand of each other."""
    for (first, one), (second, other) in combinations(met, 2):
        if one.narrows and other.widens:
            yield first, second, True
        if one.widens and other.narrows:
            yield second, first, False


class _Effects:
    """What changes do for one address, with all that its other look-ups find."""

    def __init__(self, allowances: Allowances, ops: Mapping[Place, Ops], find: Find) -> None:
        self._allowances = allowances
        self._after = {place: {op.part: op.after for op in of_place} for place, of_place in ops.items()}
        self._find = find
        self._known: dict[tuple[Judge, Place], Effect] = {}
        self._found: dict[Place, dict[SetName, Answer]] = {}

    def of(self, judge: Judge, place: Place) -> Effect:
        """What becomes of what the judge lets the address pass."""
        known = self._known.get((judge, place))
        if known is None:
            changes = ((_first(before), _first(after)) for before, after in self._ways(judge, place))
            known = self._known[judge, place] = self._allowances.effect(changes)
        return known

    def apart(self, reading: _Reading, place: Place) -> bool:
        """Whether one transaction is not safe for some packet of which the address is one end."""
        return any(
            self.of(judge, place).narrows and self.of(behind, place).widens
            for judge, behind in reading.suspects
        )

    def are_safe(self, judge: Judge, place: Place) -> bool:
        """Whether a packet may be met anywhere in the judge by one transaction."""
        for before, after in self._ways(judge, place):
            ends = _first(before), _first(after)
            mixed = (_first((*before[:at], *after[at:])) for at in range(1, len(before)))
            if not all(self._allowances.between(verdict, *ends) for verdict in mixed):
                return False
        return True

    def _ways(self, judge: Judge, place: Place) -> Iterator[tuple[_Looks, _Looks]]:
        """What the judge's questions say of the address, before and after, by what else they may be about."""
        found, changed = self._found.setdefault(place, {}), self._after[place]
        for ask in judge.asks:
            if ask.part is not None and ask.part not in found:
                found[ask.part] = self._find(ask.part, place[1])
        for other in (None, HELD) if any(ask.part is None for ask in judge.asks) else (None,):
            before = [ask.answer(other if ask.part is None else found[ask.part]) for ask in judge.asks]
            after = [
                ask.answer(changed[ask.part]) if ask.part in changed else known
                for ask, known in zip(judge.asks, before, strict=True)
            ]
            yield (*before, judge.rest), (*after, judge.rest)


_Looks: TypeAlias = tuple[Verdict | None, ...]


def _first(looks: _Looks) -> Verdict:
    """The verdict: of the first question that has an answer; the last has one."""
    return next(verdict for verdict in looks if verdict is not None)
