"""What the kernel holds of policyd, read for any caller: our own table and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

from policyd.applier.backend import Nft
from policyd.applier.listing import list_tables
from policyd_compiler.addr import print_address
from policyd_compiler.nft.ast import Table
from policyd_compiler.nft.json_parser import FOREIGN_RULE
from policyd_compiler.nft.stamp import unstamp
from policyd_compiler.roles import Role, addresses


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
    """The tables of that name; None if there is none. Raises EnvironmentRefused where nft cannot list it."""
    held = await list_tables(nft, name)
    if held.table is None:
        return None
    if held.foreign:
        return KernelTable(0, 0, (), held.foreign, names=table_names(held.table))
    return describe_table(held.table)


def describe_table(table: Table) -> KernelTable:
    """What there is to say of a table of ours, and of the one next to it."""
    isolated = addresses(table, Role.DISPATCH)
    tables = (table,) if table.bridge is None else (table, table.bridge)
    comments = (rule.comment for each in tables for chain in each.chains for rule in chain.rules)
    foreign = tuple(comment for comment in comments if comment.startswith(FOREIGN_RULE))
    bound = addresses(table, Role.BINDING)
    at_ports = set() if table.bridge is None else addresses(table.bridge, Role.BINDING)
    known = isolated | bound | addresses(table, Role.PODS)
    return KernelTable(
        unstamp(table)[1],
        len(isolated),
        tuple(sorted(print_address(family, address) for family, address in known)),
        foreign,
        len(bound),
        len(bound & at_ports),
        table_names(table),
    )


def table_names(table: Table) -> str:
    """What nft calls the table, and the one next to it."""
    beside = f" and table bridge {table.name}" if table.bridge is not None else ""
    return f"table inet {table.name}{beside}"
