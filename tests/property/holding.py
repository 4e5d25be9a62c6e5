"""What a fake kernel holds, compared with a table."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from policyd.applier.fake import FakeNft
from policyd_compiler.nft.ast import Table
from policyd_compiler.nft.json_parser import parse_listing


def held(nft: FakeNft) -> Table | None:
    """What the kernel holds, as the compiler would have written it."""
    text = asyncio.run(nft.list_table("policyd"))
    return None if text is None else parse_listing(text, "policyd")


def held_is(nft: FakeNft, wanted: Table) -> bool:
    actual = held(nft)
    assert actual is not None
    return bare(actual) == bare(wanted)


def bare(table: Table) -> Table:
    """What the kernel keeps: no notes; the table's comment is not changed by a plan."""
    chains = tuple(replace(chain, notes=()) for chain in table.chains)
    return replace(table, comment="", notes=(), chains=chains)
