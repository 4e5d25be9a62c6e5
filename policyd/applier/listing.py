"""Reads one table back from the kernel, as a value. Changes nothing."""

from __future__ import annotations

import asyncio

from policyd.applier.backend import Nft, NftTooLarge
from policyd_compiler.nft.ast import Table, TableFamily
from policyd_compiler.nft.json_parser import ForeignContent, parse_listing

#: What was cut off by chance is whole the next time.
_ATTEMPTS = 2


class TooLarge(ForeignContent):
    """The table is larger than what is read of nft, so it cannot be compared with anything."""


async def list_table(nft: Nft, name: str, family: TableFamily = "inet") -> Table | None:
    """The table of that name and family, None where there is none.

    Raises ForeignContent for one that holds what is not ours. That is also what cannot be read: nft 1.0.6
    lists a dormant table as half a text each time, and such a table enforces nothing. Raises TooLarge.
    """
    reason = ""
    for _ in range(_ATTEMPTS):
        try:
            text = await nft.list_table(name, family)
        except NftTooLarge as error:
            raise TooLarge((f"table {family} {name} is too large to be listed: {error}",)) from error
        if text is None:
            return None
        try:
            return await asyncio.to_thread(parse_listing, text, name, family)
        except ValueError as error:
            reason = str(error)
    raise ForeignContent((f"table {family} {name} cannot be read: {reason}",))
