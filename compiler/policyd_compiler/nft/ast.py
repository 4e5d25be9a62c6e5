"""The part of nftables that policyd emits, as values: tables of sets, maps and chains.

Names and words are nft's own. Addresses are integers, intervals are inclusive (low, high) pairs, and every
tuple of elements is sorted and disjoint: `nft` is never handed an overlap (NP-076). What rules
look at is a table of its own (`expressions`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NewType, TypeAlias

from policyd_compiler.nft.expressions import Field, Match
from policyd_compiler.nft.keys import Key, KeyType, SetName
from policyd_compiler.nft.packet import HookName

ChainName = NewType("ChainName", str)

#: Where the table's packets come from: IPv4 and IPv6 as they are routed, or frames as a bridge forwards them.
TableFamily: TypeAlias = Literal["inet", "bridge"]


# --- verdicts ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Accept:
    """Let the packet pass this hook."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Drop the packet silently."""


@dataclass(frozen=True, slots=True)
class Reject:
    """Drop the packet and tell the sender (`deny: reject`, decisions 5). Only as a rule's verdict."""


@dataclass(frozen=True, slots=True)
class Return:
    """Go on behind the last `jump`. In our chains: this direction allows the packet."""


@dataclass(frozen=True, slots=True)
class Jump:
    """Enter a chain and come back behind this rule at its end."""

    chain: ChainName


@dataclass(frozen=True, slots=True)
class Goto:
    """Enter a chain and do not come back."""

    chain: ChainName


Verdict: TypeAlias = Accept | Drop | Reject | Return | Jump | Goto


# --- rules, chains, sets, tables -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Vmap:
    """`ip daddr vmap @NAME`: a field decides where the packet goes; without an element, the next rule."""

    field: Field
    map: SetName


Action: TypeAlias = Verdict | Vmap


@dataclass(frozen=True, slots=True)
class Rule:
    """All matches must hold, then the action. `comment` is kept by the kernel: at most 128 bytes of UTF-8."""

    action: Action
    matches: tuple[Match, ...] = ()
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Hook:
    """Where a base chain sits. Priorities are numbers: names differ between nft versions (decisions 13)."""

    hook: HookName
    priority: int


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain; `hook` makes it a base chain (policy accept). `notes` are script comments only."""

    name: ChainName
    rules: tuple[Rule, ...] = ()
    hook: Hook | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Set:
    """A named set. With `interval`, V4/V6 elements are Intervals and IFNAME elements may end in `*`.

    `size` is the most elements it may ever hold; a set that says so gets a hash table of fixed size, which is
    faster to look up (measured: 1 % of a new flow's cost each). 0: unbounded.
    """

    name: SetName
    key: KeyType
    elements: tuple[Key, ...] = ()
    interval: bool = False
    size: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class VerdictMap:
    """A named verdict map, with elements sorted by key. `size` as for sets."""

    name: SetName
    key: KeyType
    elements: tuple[tuple[Key, Verdict], ...] = ()
    interval: bool = False
    size: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """A table: sets, maps and chains sorted by name, base chains among them. In family inet if not said.

    `comment` is the kernel's table comment; the agent writes its generation there.
    """

    name: str
    sets: tuple[Set, ...] = ()
    maps: tuple[VerdictMap, ...] = ()
    chains: tuple[Chain, ...] = ()
    comment: str = ""
    notes: tuple[str, ...] = ()
    family: TableFamily = "inet"
