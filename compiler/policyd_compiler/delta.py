"""Elements changed in place: in which transactions, so that no packet meets what neither ruleset says.

A packet finds old elements in its first look-ups and new ones in the rest (DESIGN, "Elements in place"). So
two rules say what one transaction may change (`turns`, `schedule`):

- Within a judge, for one peer: what it likes if the first look-up that changes had an answer, or if all that
  change gain the same one, or if with all else that the peer is in no packet finds a third verdict. Otherwise
  elements are added first, those asked earlier before those asked later, and then others deleted.
- Between judges, for one packet: anything but narrow what one lets pass and widen what a later one does. Then
  first what narrows. What widens never comes before what narrows.

Between two transactions all packets must be gone that were walking (`applier/grace.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Protocol, TypeAlias

from policyd_compiler.allowance import Allowances, Effect
from policyd_compiler.elements import HeldTable, differing_elements, same_but_for
from policyd_compiler.facts import Known
from policyd_compiler.nft.ast import Set, Table
from policyd_compiler.nft.commands import Change, Elements, add
from policyd_compiler.nft.keys import SetName
from policyd_compiler.schedule import Place, Scheduler
from policyd_compiler.turns import Op
from policyd_compiler.walks import HELD, Answer, is_final, read_walks

#: By part and key, what a look-up finds before and after.
Changes: TypeAlias = Mapping[SetName, Mapping[int, tuple[Answer, Answer]]]


class Held(Protocol):
    """The elements that the kernel holds before a change."""

    def find(self, name: SetName, key: int) -> Answer:
        """What a look-up of an address finds in any set or map, also one of ranges."""

    def count(self, name: SetName) -> int:
        """How many elements a set or map has."""


@dataclass(frozen=True, slots=True)
class Delta:
    """Transactions, with a wait for all walking packets between any two; none where nothing changes.

    `touched`: the addresses that are elements of what changes; `ends`: those of them that have judges.
    """

    steps: tuple[tuple[Change, ...], ...]
    touched: frozenset[Place] = frozenset()
    ends: frozenset[Place] = frozenset()

    def may_follow(self, earlier: Delta) -> bool:
        """Whether it may begin while packets walk that did so before the last step of `earlier`.

        No packet can meet both if they have no address in common and not both change one with judges. Ask it
        of every delta since the last wait; a delta that may not follow begins with a wait.
        """
        return self.touched.isdisjoint(earlier.touched) and not (self.ends and earlier.ends)


class Order:
    """Orders changes of the elements of one ruleset; what it finds out of kinds of changes it keeps."""

    def __init__(self, table: Table, *, replaces_are_atomic: bool, before: Order | None = None) -> None:
        """`table`: only the elements of dispatch maps count, and the verdicts that others have.

        `replaces_are_atomic`: whether a look-up always finds a key whose data one transaction replaces.
        Before kernel 6.17 it may find neither the old nor the new one. `before`: of the ruleset before this,
        of which most may have stayed.
        """
        #: What was found out of the parts of the ruleset, for the next one.
        self.known: Known = Known() if before is None else before.known
        self.known.turn()
        #: Which look-ups packets make.
        self.walks = read_walks(table, self.known)
        self._scheduler = Scheduler(self.walks, Allowances({chain.name: chain for chain in table.chains}))
        self._replaces = replaces_are_atomic
        self._table = table

    @property
    def kinds(self) -> int:
        """Of how many kinds of changes it keeps what it found out."""
        return self._scheduler.kinds

    def is_of(self, table: Table) -> bool:
        """Whether it orders changes of this table, too: the same but for elements that may be changed."""
        return same_but_for(self.walks.askers, self._table, table)

    def delta(self, changes: Changes, held: Held) -> Delta | None:
        """The transactions; None where no safe order is known, or a part would be fuller than it may be."""
        if not self.walks.askers.keys() >= changes.keys():
            return None
        ops = self._by_place(changes)
        if not all(self._may_be(op) for of_place in ops.values() for op in of_place):
            return None
        numbers = self._scheduler.schedule({place: tuple(o) for place, o in ops.items()}, held.find)
        if numbers is None:
            return None
        steps: dict[int, dict[SetName, list[tuple[int, Op]]]] = {}
        for place, of_place in ops.items():
            for op in of_place:
                step = steps.setdefault(numbers[place][op.part], {})
                step.setdefault(op.part, []).append((place[1], op))
        ordered = [steps[number] for number in sorted(steps)]
        if not self._fits(ordered, held):
            return None
        ends = frozenset((kind, key) for kind, key in ops if key in self.walks.ends[kind])
        return Delta(tuple(tuple(self._changes(step)) for step in ordered), frozenset(ops), ends)

    def effect(self, changes: Changes, held: Held) -> Effect:
        """What the changes do, all together, to what any judge lets any peer pass."""
        ops = self._by_place(changes)
        return self._scheduler.effect({place: tuple(of_place) for place, of_place in ops.items()}, held.find)

    def _by_place(self, changes: Changes) -> dict[Place, list[Op]]:
        ops: dict[Place, list[Op]] = {}
        for name in sorted(changes):
            kind = self.walks.declared[name].key
            for key, (before, after) in changes[name].items():
                if before != after:
                    ops.setdefault((kind, key), []).append(Op(name, before, after))
        return ops

    def _may_be(self, op: Op) -> bool:
        if op.before is not None and op.after is not None and not self._replaces:
            return False
        return all(found is None or found == HELD or is_final(found) for found in (op.before, op.after))

    def _fits(self, steps: Iterable[_Step], held: Held) -> bool:
        """Whether no part is ever fuller than it says. Within a transaction what is deleted makes room."""
        counts: dict[SetName, int] = {}
        for step in steps:
            for name, of in step.items():
                more = sum((op.after is not None) - (op.before is not None) for _, op in of)
                counts[name] = (held.count(name) if name not in counts else counts[name]) + more
                if 0 < self.walks.declared[name].size < counts[name]:
                    return False
        return True

    def _changes(self, step: _Step) -> Iterator[Change]:
        """Deletions first, for the room, and because a key that is replaced is deleted and added."""
        parts = [(self.walks.declared[name], sorted(of, key=itemgetter(0))) for name, of in step.items()]
        for part, of in parts:
            if keys := tuple(key for key, op in of if op.before is not None):
                yield Change("delete", Elements(part.name, part.key, keys))
        for part, of in parts:
            added = tuple((key, op.after) for key, op in of if op.after is not None)
            if not added:
                continue
            if isinstance(part, Set):
                yield add(replace(part, elements=tuple(key for key, _ in added)))
            else:
                yield add(replace(part, elements=added))


_Step: TypeAlias = Mapping[SetName, Sequence[tuple[int, Op]]]


#: Gives the order of a ruleset's changes; who asks for many keeps it for the next.
OrderOf: TypeAlias = Callable[[Table], Order]


def in_place(old: Table, new: Table, order_of: OrderOf, changes: Changes | None = None) -> Delta | None:
    """The delta between two rulesets, in canonical order and of the same generation.

    `changes`: all that differs, where that is known. None where more differs than elements that may be
    changed in place, or no safe order is known: then a plan leads from one to the other.
    """
    if changes is None:
        changes = differing_elements(old, new)
    if changes is None:
        return None
    return order_of(old).delta(changes, HeldTable(old)) if changes else Delta(())
