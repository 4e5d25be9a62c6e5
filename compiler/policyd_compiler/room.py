"""How much room sets and maps of peers have: declared for more than are in them, and kept while it is enough.

The size that a compilation declares follows from the members, so it changes at certain numbers of them. What
the kernel holds keeps the size that it has for as long as all fit: who comes and goes at such a number is a
change of elements like any other. When nothing else is to be done, sizes become those of a compilation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from policyd_compiler.nft.ast import Set, Table, VerdictMap
from policyd_compiler.nft.keys import SetName

Part = TypeVar("Part", bound=Set | VerdictMap)

#: No set whose members change is declared smaller; it takes 4 KiB of the kernel's memory.
LEAST_CAPACITY = 256


def capacity(members: int) -> int:
    """How many elements a set may hold that has so many now, so that it seldom has to be made larger."""
    return 1 << (max(LEAST_CAPACITY, members + members // 2) - 1).bit_length()


def keeping_sizes(table: Table, held: Table) -> Table:
    """The table, with parts declared as they are in another one where that is room enough.

    The table itself where no size differs.
    """
    sizes = {part.name: part.size for part in held.parts if part.size}
    sets, maps = _kept(table.sets, sizes), _kept(table.maps, sizes)
    return table if sets is table.sets and maps is table.maps else replace(table, sets=sets, maps=maps)


def _kept(parts: tuple[Part, ...], sizes: Mapping[SetName, int]) -> tuple[Part, ...]:
    found = tuple(as_large(part, sizes.get(part.name, part.size)) for part in parts)
    return parts if all(new is old for new, old in zip(found, parts, strict=True)) else found


def as_large(part: Part, size: int) -> Part:
    """A set or map declared for so many elements, where that is room enough; the part itself if it is so."""
    return replace(part, size=size) if part.size and len(part.elements) <= size != part.size else part
