"""Reads one table back from the kernel, as a value. Changes nothing."""

from __future__ import annotations

import asyncio

from policyd.applier.backend import Nft, NftBroken
from policyd_compiler.nft.ast import Table
from policyd_compiler.nft.json_parser import parse_listing


async def list_table(nft: Nft, name: str) -> Table | None:
    """The table of that name, None where there is none.

    Raises ForeignContent for one that holds what is not ours, and NftBroken if what nft wrote is no listing.
    """
    text = await nft.list_table(name)
    if text is None:
        return None
    try:
        return await asyncio.to_thread(parse_listing, text, name)
    except ValueError as error:
        raise NftBroken(f"the table inet {name} could not be read back: {error}", retryable=True) from error
