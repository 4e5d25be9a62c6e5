"""Parts with other elements, tables with other notes: what changes is copied, all else is the same object."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import replace
from operator import itemgetter
from typing import Any

from policyd_compiler.errors import CompilerBug
from policyd_compiler.nft.ast import ChainName, Set, Table, VerdictMap
from policyd_compiler.room import capacity
from policyd_compiler.walks import Answer


def with_notes(table: Table, notes: Mapping[ChainName, tuple[str, ...]]) -> Table:
    """The table with other notes of some chains."""
    if not notes:
        return table
    chains = (
        replace(chain, notes=notes[chain.name]) if chain.name in notes else chain for chain in table.chains
    )
    return replace(table, chains=tuple(chains))


def changed_part(part: Set | VerdictMap, changes: Mapping[int, tuple[Answer, Answer]]) -> Set | VerdictMap:
    """A set or map with these changes, as large as it is for a compilation then.

    Raises CompilerBug where an element that is to go is not there, or one that comes is.
    """
    elements: list[Any] = list(part.elements)
    if isinstance(part, Set):
        _edit(elements, changes, lambda element: element, lambda address, _: address)
        return replace(part, elements=tuple(elements), size=capacity(len(elements)))
    _edit(elements, changes, itemgetter(0), lambda address, answer: (address, answer))
    return replace(part, elements=tuple(elements), size=capacity(len(elements)))


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
