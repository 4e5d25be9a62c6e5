"""What a fake kernel holds, compared with a table."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from policyd.applier.listing import list_tables
from policyd_compiler.nft.ast import Table
from tests.fakes.fake_nft import FakeNft


def held(nft: FakeNft) -> Table | None:
    """What the kernel holds in both families, as the compiler would have written it."""
    return asyncio.run(list_tables(nft, "policyd")).table


def held_is(nft: FakeNft, wanted: Table) -> bool:
    actual = held(nft)
    assert actual is not None
    return bare(actual) == bare(wanted)


def bare(table: Table) -> Table:
    """What the kernel keeps: no notes; the table's comment is not changed by a plan."""
    chains = tuple(replace(chain, notes=()) for chain in table.chains)
    beside = None if table.bridge is None else bare(table.bridge)
    return replace(table, comment="", notes=(), chains=chains, bridge=beside)
