"""What the kernel holds of policyd, read by whoever asks: our own table and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

from policyd.applier.backend import Nft
from policyd.applier.listing import list_tables
from policyd_compiler.addr import print_address
from policyd_compiler.nft.ast import Table
from policyd_compiler.nft.json_parser import NOT_OURS
from policyd_compiler.nft.stamp import unstamp


@dataclass(frozen=True, slots=True)
class KernelTable:
    """The tables in the kernel. `addresses` are those of pods that they know, `isolated` are governed.

    `bound` addresses are taken from one interface only, `at_ports` of them from a port of a bridge.
    `foreign` is what somebody else wrote into them; if that is more than rules, the rest could not be read.
    `names` are theirs, as nft has them.
    """

    generation: int
    isolated: int
    addresses: tuple[str, ...]
    foreign: tuple[str, ...] = ()
    bound: int = 0
    at_ports: int = 0
    names: str = ""


async def read_table(nft: Nft, name: str) -> KernelTable | None:
    """The tables of that name; None if there is none. Raises EnvironmentRefused where nft cannot tell."""
    held = await list_tables(nft, name)
    if held.table is None:
        return None
    if held.foreign:
        return KernelTable(0, 0, (), held.foreign, names=table_names(held.table))
    return describe_table(held.table)


def describe_table(table: Table) -> KernelTable:
    """What there is to say of a table of ours, and of the one beside it."""
    isolated = {address for direction in ("egress", "ingress") for address in _isolated(table, direction)}
    tables = (table,) if table.bridge is None else (table, table.bridge)
    comments = (rule.comment for each in tables for chain in each.chains for rule in chain.rules)
    foreign = tuple(comment for comment in comments if comment.startswith(NOT_OURS))
    bound, at_ports = _bound(table), set() if table.bridge is None else _bound(table.bridge)
    addresses = tuple(sorted({*isolated, *bound, *_addresses(table, "known")}))
    return KernelTable(
        unstamp(table)[1],
        len(isolated),
        addresses,
        foreign,
        len(bound),
        len(bound & at_ports),
        table_names(table),
    )


def table_names(table: Table) -> str:
    """What nft calls the table, and the one beside it."""
    beside = f" and table bridge {table.name}" if table.bridge is not None else ""
    return f"table inet {table.name}{beside}"


def _isolated(table: Table, direction: str) -> set[str]:
    """The keys of the maps that lead to the chains of isolated pods (lower/roots.py)."""
    return {
        print_address(family, key)
        for family in (4, 6)
        for part in table.maps
        if str(part.name).startswith(f"{direction}{family}-")
        for key, _ in part.elements
        if isinstance(key, int)
    }


def _bound(table: Table) -> set[str]:
    """The addresses in the sets that bind them to interfaces (lower/guard.py, lower/bridge.py)."""
    return {
        print_address(family, key[1])
        for family in (4, 6)
        for part in table.sets
        if str(part.name).startswith(f"bound{family}-")
        for key in part.elements
        if isinstance(key, tuple) and isinstance(key[1], int)
    }


def _addresses(table: Table, name: str) -> set[str]:
    """The elements of the sets that hold pods' addresses, which the compiler names so (lower/roots.py)."""
    found: set[str] = set()
    for family in (4, 6):
        for part in table.sets:
            if str(part.name).startswith(f"{name}{family}-"):
                found.update(print_address(family, e) for e in part.elements if isinstance(e, int))
    return found
