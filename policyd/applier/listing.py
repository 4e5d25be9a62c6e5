"""Reads one table back from the kernel, as a value. Changes nothing.

All sets of ours have a size or hold intervals: a list of one that grows meanwhile would not be whole.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from policyd.applier.backend import Nft, NftTooLarge
from policyd_compiler.nft.ast import Table, TableFamily
from policyd_compiler.nft.json_parser import ForeignContent, parse_listing

#: The families in which policyd has tables.
FAMILIES: tuple[TableFamily, ...] = ("inet", "bridge")
#: What was cut off by chance is whole the next time.
_ATTEMPTS = 2


class TooLarge(ForeignContent):
    """The table is larger than what is read of nft, so it cannot be compared with anything."""


@dataclass(frozen=True, slots=True)
class Held:
    """What the kernel holds under one name, in family inet and next to it in family bridge.

    `foreign` is what is not ours in either. A table that holds such things, or stands beside none, counts
    as empty: a plan replaces it as a whole. Without either `table` is None. `too_large`: one could not be
    listed.
    """

    table: Table | None
    foreign: tuple[str, ...] = ()
    too_large: bool = False


async def list_tables(nft: Nft, name: str, *, elements: bool = True) -> Held:
    """What the kernel holds under this name; without `elements`, as if no set and no map had any."""
    foreign: list[str] = []
    too_large = False
    found: dict[TableFamily, Table | None] = {}
    for family in FAMILIES:
        try:
            found[family] = await list_table(nft, name, family, elements=elements)
        except ForeignContent as error:
            found[family] = Table(name, family=family)
            foreign.extend(error.things)
            too_large |= isinstance(error, TooLarge)
    if found["inet"] is None and found["bridge"] is None:
        return Held(None)
    return Held(replace(found["inet"] or Table(name), bridge=found["bridge"]), tuple(foreign), too_large)


async def list_table(
    nft: Nft, name: str, family: TableFamily = "inet", *, elements: bool = True
) -> Table | None:
    """The table of that name and family, None where there is none.

    Raises ForeignContent for one that holds what is not ours. That is also what cannot be read: nft 1.0.6
    lists a dormant table as half a text each time, and such a table enforces nothing. Raises TooLarge.
    """
    reason = ""
    for _ in range(_ATTEMPTS):
        try:
            text = await (nft.list_table if elements else nft.list_structure)(name, family)
        except NftTooLarge as error:
            raise TooLarge((f"table {family} {name} is too large to be listed: {error}",)) from error
        if text is None:
            return None
        try:
            return await asyncio.to_thread(parse_listing, text, name, family)
        except ValueError as error:
            reason = str(error)
    raise ForeignContent((f"table {family} {name} cannot be read: {reason}",))
