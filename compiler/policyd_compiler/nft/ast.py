"""The part of nftables that policyd emits, as values: one `inet` table of sets, maps and chains.

Names and words are nft's own. Addresses are integers, intervals are inclusive (low, high) pairs, and every
tuple of elements is sorted and disjoint: `nft` is never handed an overlap (NP-076, semantics).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Literal, NewType, TypeAlias

SetName = NewType("SetName", str)
ChainName = NewType("ChainName", str)

Family: TypeAlias = Literal[4, 6]
Side: TypeAlias = Literal["saddr", "daddr"]
Direction: TypeAlias = Literal["iifname", "oifname"]
L4: TypeAlias = Literal["tcp", "udp", "sctp"]
CtStateName: TypeAlias = Literal["established", "related", "new", "invalid", "untracked"]
HookName: TypeAlias = Literal["forward", "input", "output"]

#: Inclusive (low, high); sorted, disjoint, not adjacent.
Interval: TypeAlias = tuple[int, int]


class KeyType(Enum):
    """What the elements of a set or map are keyed by. The value is nft's own text."""

    V4 = "ipv4_addr"
    V6 = "ipv6_addr"
    V4_PAIR = "ipv4_addr . ipv4_addr"
    V6_PAIR = "ipv6_addr . ipv6_addr"
    IFNAME = "ifname"


#: The fields that keys are taken from, as nft writes them behind `typeof`. Sets are declared by these: for a
#: set declared by `type`, nft from 1.1.2 on notes what makes older ones crash, whoever on the node runs them
#: (kubernetes#136786); for one declared by `typeof`, what all of them know.
TYPEOF = {
    KeyType.V4: "ip saddr",
    KeyType.V6: "ip6 saddr",
    KeyType.V4_PAIR: "ip saddr . ip daddr",
    KeyType.V6_PAIR: "ip6 saddr . ip6 daddr",
    KeyType.IFNAME: "iifname",
}

#: V4/V6: an address, or an Interval where the set has `interval`. Pairs: (saddr, daddr).
#: IFNAME: a name, with a trailing `*` for every name that begins so.
Key: TypeAlias = int | Interval | str


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


# --- matches -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CtState:
    """`ct state NAME`, or `!=` of it."""

    state: CtStateName
    negated: bool = False


@dataclass(frozen=True, slots=True)
class CtDnat:
    """`ct status dnat`: the destination was rewritten on this node (a Service, a hostPort)."""


@dataclass(frozen=True, slots=True)
class TcpNotSyn:
    """`tcp flags & (fin | syn | rst | ack) != syn`: a TCP packet that does not open a connection."""


@dataclass(frozen=True, slots=True)
class FibLocal:
    """`fib saddr type local`: the source is an address of this node."""


#: nft looks names up in /etc/protocols, which a minimal system has not.
PROTOCOL_NUMBERS: Mapping[str, int] = {"icmp": 1, "tcp": 6, "udp": 17, "ipv6-icmp": 58, "sctp": 132}


@dataclass(frozen=True, slots=True)
class L4Proto:
    """`meta l4proto { … }`, or `!=` of it. `protocols`: our names, or numbers; nft gets numbers."""

    protocols: tuple[str, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Icmpv6Types:
    """`icmpv6 type { … }` with inclusive intervals of type numbers."""

    types: tuple[Interval, ...]


@dataclass(frozen=True, slots=True)
class DportIn:
    """`tcp dport { … }`: destination port of one protocol in inclusive intervals."""

    protocol: L4
    ports: tuple[Interval, ...]


@dataclass(frozen=True, slots=True)
class AddrInSet:
    """`ip saddr @NAME`, or `!=` of it."""

    family: Family
    side: Side
    set: SetName
    negated: bool = False


@dataclass(frozen=True, slots=True)
class AddrInPrefix:
    """`ip6 saddr fe80::/10`, or `!=` of it."""

    family: Family
    side: Side
    network: int
    prefix: int
    negated: bool = False


@dataclass(frozen=True, slots=True)
class PairInSet:
    """`ip saddr . ip daddr @NAME`."""

    family: Family
    set: SetName


@dataclass(frozen=True, slots=True)
class IfnameInSet:
    """`iifname @NAME`, or `!=` of it."""

    direction: Direction
    set: SetName
    negated: bool = False


Match: TypeAlias = (
    CtState
    | CtDnat
    | TcpNotSyn
    | FibLocal
    | L4Proto
    | Icmpv6Types
    | DportIn
    | AddrInSet
    | AddrInPrefix
    | PairInSet
    | IfnameInSet
)


# --- rules, chains, sets, tables -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AddrVmap:
    """`ip daddr vmap @NAME`: the address decides where the packet goes; without an element, the next rule."""

    family: Family
    side: Side
    map: SetName


Action: TypeAlias = Verdict | AddrVmap


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
    """The table `inet NAME`: sets, maps and chains sorted by name, base chains among them.

    `comment` is the kernel's table comment; the agent writes its generation there.
    """

    name: str
    sets: tuple[Set, ...] = ()
    maps: tuple[VerdictMap, ...] = ()
    chains: tuple[Chain, ...] = ()
    comment: str = ""
    notes: tuple[str, ...] = ()
