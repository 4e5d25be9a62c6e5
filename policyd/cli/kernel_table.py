"""What the kernel holds of policyd, read by whoever asks: our own table and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

from policyd.applier.backend import Nft
from policyd.applier.listing import list_table
from policyd_compiler.addr import print_address
from policyd_compiler.nft.ast import Table
from policyd_compiler.nft.json_parser import NOT_OURS, ForeignContent
from policyd_compiler.nft.stamp import unstamp


@dataclass(frozen=True, slots=True)
class KernelTable:
    """A table in the kernel. `addresses` are those of pods that it knows; `isolated` of them are governed.

    `foreign` is what somebody else wrote into it; if that is more than rules, the rest could not be read.
    """

    generation: int
    isolated: int
    addresses: tuple[str, ...]
    foreign: tuple[str, ...] = ()


async def read_table(nft: Nft, name: str) -> KernelTable | None:
    """The table of that name; None if there is none. Raises EnvironmentRefused where nft cannot tell."""
    try:
        table = await list_table(nft, name)
    except ForeignContent as error:
        return KernelTable(0, 0, (), error.things)
    return None if table is None else describe_table(table)


def describe_table(table: Table) -> KernelTable:
    """What there is to say of a table of ours."""
    isolated = {address for direction in ("egress", "ingress") for address in _isolated(table, direction)}
    comments = (rule.comment for chain in table.chains for rule in chain.rules)
    foreign = tuple(comment for comment in comments if comment.startswith(NOT_OURS))
    addresses = tuple(sorted({*isolated, *_addresses(table, "known")}))
    return KernelTable(unstamp(table)[1], len(isolated), addresses, foreign)


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


def _addresses(table: Table, name: str) -> set[str]:
    """The elements of the sets that hold pods' addresses, which the compiler names so (lower/roots.py)."""
    found: set[str] = set()
    for family in (4, 6):
        for part in table.sets:
            if str(part.name).startswith(f"{name}{family}-"):
                found.update(print_address(family, e) for e in part.elements if isinstance(e, int))
    return found
