"""Compares what the kernel holds with what it should piece by piece, so that no comparison takes long.

Chains and declarations at once, which nft lists without elements; elements some sets at a time, by a dump of
each, in turn. For the comparisons of every now and then; after a sign
of a foreign change the whole table is listed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol

from policyd.applier.backend import Nft
from policyd.applier.listing import list_tables
from policyd.netlink.element_codec import PartT
from policyd.netlink.element_reader import compare
from policyd_compiler.nft.ast import Set, Table, TableFamily, VerdictMap
from policyd_compiler.nft.json_parser import ForeignContent
from policyd_compiler.plan import differences

#: So many elements are read in one comparison, and the rest of the set that is being read: some 40 ms.
MOST_ELEMENTS = 20_000


class ElementsReader(Protocol):
    """Who reads elements: `policyd.netlink.element_reader.ElementReader`."""

    def read(self, table: str, part: PartT, family: TableFamily = "inet") -> PartT | None:
        """The part with the elements that the kernel holds; None where it is absent. Blocks."""


class Pieces:
    """The tables of one name, looked at piece by piece."""

    def __init__(self, nft: Nft, table: str, reader: ElementsReader, most: int = MOST_ELEMENTS) -> None:
        self._nft, self._table, self._reader, self._most = nft, table, reader, most
        self._last = ("", "")  # the family and name of the set that was read last

    async def differences(self, wanted: Table) -> tuple[str, ...]:
        """What differs in the pieces looked at now, in sentences. Raises EnvironmentRefused."""
        actual = await list_tables(self._nft, self._table, elements=False)
        if actual.foreign or actual.table is None:
            return actual.foreign or (f"table inet {self._table} is gone",)
        found = differences(actual.table, _without_elements(wanted))
        return found or await asyncio.to_thread(self._elements, wanted)

    def _elements(self, wanted: Table) -> tuple[str, ...]:
        found: list[str] = []
        read = 0
        for family, part in self._in_turn(wanted):
            if read >= self._most:
                break
            read += len(part.elements)
            self._last = (family, part.name)
            kind = "set" if isinstance(part, Set) else "map"
            try:
                held = self._reader.read(self._table, part, family)
                differs = held is None or bool(compare(held, part))
            except ForeignContent:
                differs = True
            if differs:
                found.append(f"{kind} {part.name} was changed")
        return tuple(found)

    def _in_turn(self, wanted: Table) -> Iterator[tuple[TableFamily, Set | VerdictMap]]:
        """All sets and maps, those that were not looked at for longest first."""
        tables = [table for table in (wanted, wanted.bridge) if table is not None]
        parts = [(table.family, part) for table in tables for part in table.parts]
        parts.sort(key=lambda item: (item[0], item[1].name))
        behind = [item for item in parts if (item[0], item[1].name) > self._last]
        return iter([*behind, *parts[: len(parts) - len(behind)]])


def _without_elements(table: Table) -> Table:
    return replace(
        table,
        sets=tuple(replace(part, elements=()) for part in table.sets),
        maps=tuple(replace(part, elements=()) for part in table.maps),
        bridge=None if table.bridge is None else _without_elements(table.bridge),
    )
