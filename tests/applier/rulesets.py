"""Two rulesets, and what a backend holds of them."""

from __future__ import annotations

from dataclasses import replace

from policyd.applier.backend import Nft
from policyd_compiler.nft.ast import Table
from policyd_compiler.nft.json_parser import parse_listing
from tests.cases.form import ingress, pod
from tests.oracle import Manifest
from tests.routes import compile_world

NAME = "policyd"
PODS: list[Manifest] = [
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}},
    pod("x/a", "10.244.1.1", "fd00:10:244:1::1"),
    pod("x/b", "10.244.1.2", "fd00:10:244:1::2"),
]


def compiled(*policies: Manifest) -> Table:
    """The table as a listing shows it: without notes and comment."""
    table = compile_world([*PODS, *policies], "n1").table
    return replace(table, comment="", notes=(), chains=tuple(replace(c, notes=()) for c in table.chains))


OLD = compiled(ingress("x", "a", {"ports": [{"port": 80}]}))


async def content(nft: Nft) -> Table | None:
    listing = await nft.list_table(NAME)
    return None if listing is None else parse_listing(listing, NAME)
