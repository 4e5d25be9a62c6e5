"""Tables with other elements and notes: what changes is copied, all else is the same object."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from operator import itemgetter
from typing import Any, TypeVar

from policyd_compiler.delta import Changes
from policyd_compiler.errors import CompilerBug
from policyd_compiler.lower.objects import capacity
from policyd_compiler.nft.ast import ChainName, Goto, Jump, Set, Table, Verdict, VerdictMap
from policyd_compiler.nft.keys import SetName
from policyd_compiler.one_host import CannotTell
from policyd_compiler.walks import Answer

Part = TypeVar("Part", Set, VerdictMap)


def with_elements(table: Table, changes: Changes) -> Table:
    """The table with these changes. Raises CannotTell where a set would be declared in another size.

    Raises CompilerBug where an element that is to go is not there, or one that comes is.
    """
    return replace(table, sets=_changed(table.sets, changes), maps=_changed(table.maps, changes))


def with_notes(table: Table, notes: Mapping[ChainName, tuple[str, ...]]) -> Table:
    """The table with other notes of some chains."""
    if not notes:
        return table
    chains = (
        replace(chain, notes=notes[chain.name]) if chain.name in notes else chain for chain in table.chains
    )
    return replace(table, chains=tuple(chains))


def _changed(parts: tuple[Part, ...], changes: Changes) -> tuple[Part, ...]:
    found = [number for number, part in enumerate(parts) if part.name in changes]
    if not found:
        return parts
    out = list(parts)
    for number in found:
        out[number] = _change(out[number], changes[out[number].name])
    return tuple(out)


def _change(part: Part, changes: Mapping[int, tuple[Answer, Answer]]) -> Part:
    elements: list[Any] = list(part.elements)
    if isinstance(part, Set):
        _edit(elements, changes, lambda element: element, lambda address, _: address)
    else:
        _edit(elements, changes, itemgetter(0), lambda address, answer: (address, answer))
    if capacity(len(elements)) != part.size:
        raise CannotTell("a set has to be of another size")
    return replace(part, elements=tuple(elements))


def _edit(
    elements: list[Any],
    changes: Mapping[int, tuple[Answer, Answer]],
    address_of: Callable[[Any], int],
    element: Callable[[int, Answer], object],
) -> None:
    """Change a sorted list of elements in place."""
    for address, (before, after) in changes.items():
        at = bisect_left(elements, address, key=address_of)
        here = elements[at] if at < len(elements) and address_of(elements[at]) == address else None
        if here != (None if before is None else element(address, before)):
            raise CompilerBug(f"a set does not hold what it should of {address}")
        if after is None:
            del elements[at]
        elif before is None:
            elements.insert(at, element(address, after))
        else:
            elements[at] = element(address, after)


class Uses:
    """How many elements of maps of peers lead to each chain: a chain that nothing leads to is not made."""

    def __init__(self, table: Table, peers: Iterable[SetName]) -> None:
        self._table, self._peers = table, frozenset(peers)
        self._counted: Counter[str] | None = None
        self._fixed = _led_to(table, self._peers)

    def change(self, changes: Changes) -> None:
        """Take changes of elements. Raises CannotTell where the last goes that leads to a chain."""
        counted = self._counts()
        for of_part in changes.values():
            for before, after in of_part.values():
                if isinstance(after, Goto):
                    counted[after.chain] += 1
                if isinstance(before, Goto):
                    counted[before.chain] -= 1
        gone = (
            before.chain
            for of_part in changes.values()
            for before, _ in of_part.values()
            if isinstance(before, Goto)
        )
        if any(not counted[name] and name not in self._fixed for name in gone):
            raise CannotTell("nothing leads to a chain any more")

    def _counts(self) -> Counter[str]:
        """Counted when somebody asks first: of the elements before all changes."""
        if self._counted is None:
            counted: Counter[str] = Counter()
            for part in (part for part in self._table.maps if part.name in self._peers):
                verdicts: dict[int, Verdict] = {id(verdict): verdict for _, verdict in part.elements}
                for identity, uses in Counter(map(id, map(itemgetter(1), part.elements))).items():
                    verdict = verdicts[identity]
                    if isinstance(verdict, Goto):
                        counted[verdict.chain] += uses
            self._counted = counted
        return self._counted


def _led_to(table: Table, peers: frozenset[SetName]) -> frozenset[str]:
    """The chains that anything but an element of a map of peers leads to."""
    verdicts = [rule.action for chain in table.chains for rule in chain.rules]
    of_maps = (v for part in table.maps if part.name not in peers for _, v in part.elements)
    return frozenset(v.chain for v in (*verdicts, *of_maps) if isinstance(v, Goto | Jump))
