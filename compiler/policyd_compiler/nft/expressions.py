"""What rules look at: one table of fields, and one type of match.

A row of `Field` says everything about an expression: nft's text, the kind of its values, and where a packet
has it; libnftables' JSON follows from the text (`matches`). Both printers, both parsers, the simulator and
the fake kernel read this table, so that a further expression is one more row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from policyd_compiler.nft.keys import (
    L4,
    Family,
    Interval,
    Key,
    KeyType,
    SetName,
    Side,
)
from policyd_compiler.nft.packet import Packet

# --- kinds of values -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Words:
    """One of a few words of nft."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers from 0 to `highest`; `names` are what nft lists instead of some of them."""

    highest: int
    names: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Keys:
    """What a set of this type can be asked for."""

    type: KeyType


Kind: TypeAlias = Words | Range | Keys


@dataclass(frozen=True, slots=True)
class Row:
    """`read` gives a packet's value, None where it has none: then no match holds, negated or not.

    `is_`: the operator of a match that is not negated, in JSON.
    """

    text: str
    kind: Kind
    read: Callable[[Packet], Key | None]
    is_: str = "=="


#: nft's names of ICMPv6 types (`nft describe icmpv6 type`); it prints these for numbers.
ICMPV6_TYPES: Mapping[str, int] = {
    "destination-unreachable": 1,
    "packet-too-big": 2,
    "time-exceeded": 3,
    "parameter-problem": 4,
    "echo-request": 128,
    "echo-reply": 129,
    "mld-listener-query": 130,
    "mld-listener-report": 131,
    "mld-listener-done": 132,
    "mld-listener-reduction": 132,
    "nd-router-solicit": 133,
    "nd-router-advert": 134,
    "nd-neighbor-solicit": 135,
    "nd-neighbor-advert": 136,
    "nd-redirect": 137,
    "router-renumbering": 138,
    "ind-neighbor-solicit": 141,
    "ind-neighbor-advert": 142,
    "mld2-listener-report": 143,
}
#: /etc/protocols, from which nft takes names for numbers; some systems name 58 differently.
PROTOCOLS: Mapping[str, int] = {"icmp": 1, "tcp": 6, "udp": 17, "ipv6-icmp": 58, "icmpv6": 58, "sctp": 132}

_STATES = Words(("established", "related", "new", "invalid", "untracked"))
_PORT = Range(65535)


def _address(family: Family, side: Side) -> Callable[[Packet], Key | None]:
    if side == "saddr":
        return lambda packet: packet.saddr if packet.family == family else None
    return lambda packet: packet.daddr if packet.family == family else None


def _pair(family: Family) -> Callable[[Packet], Key | None]:
    return lambda packet: (packet.saddr, packet.daddr) if packet.family == family else None


def _dport(protocol: L4) -> Callable[[Packet], Key | None]:
    return lambda packet: packet.dport if packet.protocol_name == protocol else None


def _tcp_flags(packet: Packet) -> Key | None:
    if packet.protocol_name != "tcp":
        return None
    return "syn" if packet.tcp_syn else "other"


class Field(Enum):
    """The table."""

    CT_STATE = Row("ct state", _STATES, lambda packet: packet.ct_state, is_="in")
    CT_STATUS = Row("ct status", Words(("dnat",)), lambda packet: "dnat" if packet.dnat else "", is_="in")
    #: With `!= syn`: a TCP packet that does not open a connection.
    TCP_FLAGS = Row("tcp flags & (fin | syn | rst | ack)", Words(("syn",)), _tcp_flags)
    FIB_SADDR_TYPE = Row(
        "fib saddr type", Words(("local",)), lambda packet: "local" if packet.fib_local else "other"
    )
    META_L4PROTO = Row("meta l4proto", Range(255, PROTOCOLS), lambda packet: packet.protocol_number)
    ICMPV6_TYPE = Row(
        "icmpv6 type",
        Range(255, ICMPV6_TYPES),
        lambda packet: packet.icmp_type if packet.protocol_name == "ipv6-icmp" else None,
    )
    TCP_DPORT = Row("tcp dport", _PORT, _dport("tcp"))
    UDP_DPORT = Row("udp dport", _PORT, _dport("udp"))
    SCTP_DPORT = Row("sctp dport", _PORT, _dport("sctp"))
    IP_SADDR = Row("ip saddr", Keys(KeyType.V4), _address(4, "saddr"))
    IP_DADDR = Row("ip daddr", Keys(KeyType.V4), _address(4, "daddr"))
    IP6_SADDR = Row("ip6 saddr", Keys(KeyType.V6), _address(6, "saddr"))
    IP6_DADDR = Row("ip6 daddr", Keys(KeyType.V6), _address(6, "daddr"))
    IP_PAIR = Row("ip saddr . ip daddr", Keys(KeyType.V4_PAIR), _pair(4))
    IP6_PAIR = Row("ip6 saddr . ip6 daddr", Keys(KeyType.V6_PAIR), _pair(6))
    IIFNAME = Row("iifname", Keys(KeyType.IFNAME), lambda packet: packet.iifname)
    OIFNAME = Row("oifname", Keys(KeyType.IFNAME), lambda packet: packet.oifname)

    @property
    def row(self) -> Row:
        """All that is known about the field."""
        return self.value

    @property
    def key_type(self) -> KeyType | None:
        """The type of sets and maps that can be asked for it."""
        kind = self.row.kind
        return kind.type if isinstance(kind, Keys) else None


FIELDS: Mapping[str, Field] = {one.row.text: one for one in Field}
_IP: Mapping[Family, str] = {4: "ip", 6: "ip6"}


def address_field(family: Family, side: Side) -> Field:
    """`ip saddr` and its like."""
    return FIELDS[f"{_IP[family]} {side}"]


def pair_field(family: Family) -> Field:
    """`ip saddr . ip daddr`."""
    return FIELDS[f"{_IP[family]} saddr . {_IP[family]} daddr"]


def dport_field(protocol: L4) -> Field:
    """`tcp dport` and its like."""
    return FIELDS[f"{protocol} dport"]


# --- matches -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Word:
    """A word of nft; for interfaces a name, with a trailing `*` for every name that begins so."""

    word: str


@dataclass(frozen=True, slots=True)
class Numbers:
    """Numbers in inclusive intervals, sorted and disjoint."""

    intervals: tuple[Interval, ...]


@dataclass(frozen=True, slots=True)
class InSet:
    """The elements of a named set."""

    set: SetName


@dataclass(frozen=True, slots=True)
class Prefix:
    """The addresses that begin as `network` does, in `length` bits; `network` has no others."""

    network: int
    length: int


Right: TypeAlias = Word | Numbers | InSet | Prefix


@dataclass(frozen=True, slots=True)
class Match:
    """What a field must be, or with `negated` must not be. Without the field a packet matches neither."""

    field: Field
    right: Right
    negated: bool = False


def numbers(*values: int) -> Numbers:
    """Single numbers."""
    return Numbers(tuple((value, value) for value in sorted(values)))
