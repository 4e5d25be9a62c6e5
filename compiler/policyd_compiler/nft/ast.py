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
CounterName = NewType("CounterName", str)
LimitUnit: TypeAlias = Literal["second", "minute", "hour", "day"]

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
    """Drop the packet and answer the sender (`deny: reject`, decisions 5). Only as a rule's verdict."""


@dataclass(frozen=True, slots=True)
class Return:
    """Go on after the last `jump`. In our chains: this direction allows the packet."""


@dataclass(frozen=True, slots=True)
class Jump:
    """Enter a chain and come back after this rule at its end."""

    chain: ChainName


@dataclass(frozen=True, slots=True)
class Goto:
    """Enter a chain and do not come back."""

    chain: ChainName


@dataclass(frozen=True, slots=True)
class Continue:
    """Go on with the next rule: of a rule that only counts or logs."""


Verdict: TypeAlias = Accept | Drop | Reject | Return | Jump | Goto | Continue


# --- statements ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CounterRef:
    """Count the packet in a named counter of the table."""

    name: CounterName


@dataclass(frozen=True, slots=True)
class Log:
    """Log the packet: to who listens to a group of nfnetlink_log, or without one the kernel's log.

    `snaplen`: bytes of the packet that are sent; `queue_threshold`: packets that are sent together. 0: as the
    kernel has it. The kernel keeps 127 bytes of a prefix.
    """

    prefix: str = ""
    group: int | None = None
    snaplen: int = 0
    queue_threshold: int = 0


@dataclass(frozen=True, slots=True)
class Limit:
    """Go on within a rate, or with `over` beyond it; otherwise the next rule. One bucket for each rule."""

    rate: int
    per: LimitUnit
    burst: int = 5
    over: bool = False


Statement: TypeAlias = CounterRef | Log | Limit


# --- rules, chains, sets, tables -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Vmap:
    """`ip daddr vmap @NAME`: a field decides where the packet goes; without an element, the next rule."""

    field: Field
    map: SetName


Action: TypeAlias = Verdict | Vmap


@dataclass(frozen=True, slots=True)
class Rule:
    """All matches must hold, then the statements are done in turn, then the action.

    `comment` is kept by the kernel: at most 128 bytes of UTF-8.
    """

    action: Action
    matches: tuple[Match, ...] = ()
    comment: str = ""
    statements: tuple[Statement, ...] = ()


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

    def is_at(self, hook: HookName) -> bool:
        """Whether it is the base chain there."""
        return self.hook is not None and self.hook.hook == hook


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
class Counter:
    """A named counter. What it counted is the kernel's, and no part of a ruleset."""

    name: CounterName


@dataclass(frozen=True, slots=True)
class Table:
    """A table: sets, maps, chains and counters, each sorted by name; base chains are among the chains.

    `bridge` is the table of the same name in family bridge, where there is one: it is changed in the same
    transactions. `comment` is the kernel's table comment.
    """

    name: str
    sets: tuple[Set, ...] = ()
    maps: tuple[VerdictMap, ...] = ()
    chains: tuple[Chain, ...] = ()
    comment: str = ""
    notes: tuple[str, ...] = ()
    family: TableFamily = "inet"
    counters: tuple[Counter, ...] = ()
    bridge: Table | None = None

    @property
    def parts(self) -> tuple[Set | VerdictMap, ...]:
        """The sets, then the maps: no two have one name."""
        return (*self.sets, *self.maps)


def have_same_elements(one: Set | VerdictMap, other: Set | VerdictMap) -> bool:
    """Whether two parts hold the same; mostly it is one tuple, which is seen at once."""
    return one.elements is other.elements or one.elements == other.elements
