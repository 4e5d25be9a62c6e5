"""What rules look at: one table of fields, and one type of match.

A row of `Field` says everything about an expression: nft's text, the kind of its values, and where a packet
has it; libnftables' JSON follows from the text (`matches`). Both printers, both parsers, the simulator and
the fake kernel read this table, so that a further expression is one more row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias, get_args

from policyd_compiler.nft.keys import (
    FAMILIES,
    L4,
    Family,
    Interval,
    Key,
    KeyType,
    PortSide,
    SetName,
    Side,
)
from policyd_compiler.nft.numbers import ARP_OPERATIONS, ETHER_TYPES, ICMP_TYPES, ICMPV6_TYPES, PROTOCOLS
from policyd_compiler.nft.packet import Arp, Packet

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


_STATES = Words(("established", "related", "new", "invalid", "untracked"))
_PORT, _PROTOCOL, _BYTE = Range(65535), Range(255, PROTOCOLS), Range(255)
_ETHER_TYPE = Range(65535, ETHER_TYPES)
_LOCAL = Words(("local",))
_V4, _V6, _ETHER, _IFNAME = (Keys(kind) for kind in (KeyType.V4, KeyType.V6, KeyType.ETHER, KeyType.IFNAME))

_Read: TypeAlias = Callable[[Packet], Key | None]


def _ip(family: Family, read: _Read) -> _Read:
    """What packets of one family have."""
    return lambda packet: read(packet) if packet.is_ip(family) else None


def _l4(protocol: str, read: _Read) -> _Read:
    """What packets of one protocol have."""
    return lambda packet: read(packet) if packet.is_ip() and packet.protocol_name == protocol else None


def _icmp(protocol: str, family: Family) -> _Read:
    """The type of untagged ICMP: in family bridge nft asks for the EtherType of the frame itself."""
    read = _l4(protocol, _ip(family, lambda packet: packet.icmp_type))
    return lambda packet: read(packet) if packet.vlan is None else None


def _arp(read: Callable[[Arp], Key]) -> _Read:
    """What untagged ARP has, for the same reason."""
    return lambda packet: read(packet.arp) if packet.arp is not None and packet.vlan is None else None


def _from(read: _Read) -> _Read:
    """The interface on which it came, and something else."""
    return lambda packet: _named(packet.iifname, read(packet))


def _to(read: _Read) -> _Read:
    """The interface on which it goes, and something else."""
    return lambda packet: _named(packet.oifname, read(packet))


def _named(interface: str, value: Key | None) -> Key | None:
    return (interface, value) if isinstance(value, int) else None


def _saddr(packet: Packet) -> Key | None:
    return packet.saddr


def _daddr(packet: Packet) -> Key | None:
    return packet.daddr


def _pair(packet: Packet) -> Key | None:
    return packet.saddr, packet.daddr


def _sport(packet: Packet) -> Key | None:
    return packet.sport


def _dport(packet: Packet) -> Key | None:
    return packet.dport


def _hops(packet: Packet) -> Key | None:
    return packet.hop_limit


def _protocol(packet: Packet) -> Key | None:
    return packet.protocol_number if packet.is_ip() else None


class Field(Enum):
    """The table. Fields of one header stand in the order in which the header has them (`matches.misread`).

    In family bridge nft asks for `ip` and `ip6` after one tag, too, but for `arp`, `icmpv6` and `ether type`
    in the frame as it is: a rule that must not be passed by a tag drops what is tagged first.
    """

    CT_STATE = Row("ct state", _STATES, lambda packet: packet.ct_state, is_="in")
    CT_STATUS = Row("ct status", Words(("dnat",)), lambda packet: "dnat" if packet.dnat else "", is_="in")
    FIB_SADDR_TYPE = Row("fib saddr type", _LOCAL, lambda packet: "local" if packet.fib_local else "other")
    FIB_DADDR_TYPE = Row(
        "fib daddr type",
        Words(("local", "unicast", "broadcast", "anycast", "multicast")),
        lambda packet: packet.fib_daddr,
    )
    IIFNAME = Row("iifname", _IFNAME, lambda packet: packet.iifname)
    OIFNAME = Row("oifname", _IFNAME, lambda packet: packet.oifname)

    ETHER_DADDR = Row("ether daddr", _ETHER, lambda packet: packet.ether_daddr)
    ETHER_SADDR = Row("ether saddr", _ETHER, lambda packet: packet.ether_saddr)
    ETHER_TYPE = Row("ether type", _ETHER_TYPE, lambda p: p.network_type if p.vlan is None else p.vlan_type)
    #: What follows all tags that the kernel takes off.
    META_PROTOCOL = Row("meta protocol", _ETHER_TYPE, lambda packet: packet.network_type)
    META_PKTTYPE = Row(
        "meta pkttype", Words(("host", "broadcast", "multicast", "other")), lambda packet: packet.pkttype
    )

    ARP_HTYPE = Row("arp htype", Range(65535), _arp(lambda arp: arp.htype))
    ARP_PTYPE = Row("arp ptype", _ETHER_TYPE, _arp(lambda arp: arp.ptype))
    ARP_HLEN = Row("arp hlen", _BYTE, _arp(lambda arp: arp.hlen))
    ARP_PLEN = Row("arp plen", _BYTE, _arp(lambda arp: arp.plen))
    ARP_OPERATION = Row("arp operation", Range(65535, ARP_OPERATIONS), _arp(lambda arp: arp.operation))
    ARP_SADDR_ETHER = Row("arp saddr ether", _ETHER, _arp(lambda arp: arp.saddr_ether))
    ARP_SADDR_IP = Row("arp saddr ip", _V4, _arp(lambda arp: arp.saddr))
    ARP_DADDR_IP = Row("arp daddr ip", _V4, _arp(lambda arp: arp.daddr))

    IP_TTL = Row("ip ttl", _BYTE, _ip(4, _hops))
    IP_PROTOCOL = Row("ip protocol", _PROTOCOL, _ip(4, _protocol))
    IP_SADDR = Row("ip saddr", _V4, _ip(4, _saddr))
    IP_DADDR = Row("ip daddr", _V4, _ip(4, _daddr))
    IP_PAIR = Row("ip saddr . ip daddr", Keys(KeyType.V4_PAIR), _ip(4, _pair))
    IP6_HOPLIMIT = Row("ip6 hoplimit", _BYTE, _ip(6, _hops))
    IP6_SADDR = Row("ip6 saddr", _V6, _ip(6, _saddr))
    IP6_DADDR = Row("ip6 daddr", _V6, _ip(6, _daddr))
    IP6_PAIR = Row("ip6 saddr . ip6 daddr", Keys(KeyType.V6_PAIR), _ip(6, _pair))

    META_L4PROTO = Row("meta l4proto", _PROTOCOL, _protocol)
    #: With `!= syn`: a TCP packet that does not open a connection.
    TCP_FLAGS = Row(
        "tcp flags & (fin | syn | rst | ack)",
        Words(("syn",)),
        _l4("tcp", lambda packet: "syn" if packet.tcp_syn else "other"),
    )
    TCP_SPORT = Row("tcp sport", _PORT, _l4("tcp", _sport))
    TCP_DPORT = Row("tcp dport", _PORT, _l4("tcp", _dport))
    UDP_SPORT = Row("udp sport", _PORT, _l4("udp", _sport))
    UDP_DPORT = Row("udp dport", _PORT, _l4("udp", _dport))
    SCTP_SPORT = Row("sctp sport", _PORT, _l4("sctp", _sport))
    SCTP_DPORT = Row("sctp dport", _PORT, _l4("sctp", _dport))
    ICMP_TYPE = Row("icmp type", Range(255, ICMP_TYPES), _icmp("icmp", 4))
    ICMPV6_TYPE = Row("icmpv6 type", Range(255, ICMPV6_TYPES), _icmp("ipv6-icmp", 6))

    IIFNAME_IP_SADDR = Row("iifname . ip saddr", Keys(KeyType.IFNAME_V4), _from(_ip(4, _saddr)))
    IIFNAME_IP6_SADDR = Row("iifname . ip6 saddr", Keys(KeyType.IFNAME_V6), _from(_ip(6, _saddr)))
    IIFNAME_ETHER_SADDR = Row(
        "iifname . ether saddr", Keys(KeyType.IFNAME_ETHER), _from(lambda packet: packet.ether_saddr)
    )
    IIFNAME_ARP_SADDR_IP = Row(
        "iifname . arp saddr ip", Keys(KeyType.IFNAME_V4), _from(_arp(lambda arp: arp.saddr))
    )
    IIFNAME_ARP_SADDR_ETHER = Row(
        "iifname . arp saddr ether",
        Keys(KeyType.IFNAME_ETHER),
        _from(_arp(lambda arp: arp.saddr_ether)),
    )
    #: Behind `icmpv6 type { 135, 136 }`: the target of a neighbour solicitation or advertisement. nft 1.0.6
    #: aborts when it lists a rule with `meta l4proto` before it.
    IIFNAME_TARGET = Row(
        "iifname . @th,64,128", Keys(KeyType.IFNAME_TARGET), _from(lambda packet: packet.target)
    )
    #: The first byte of that target; of link-local addresses it is 0xfe, as of no pod's. nft 1.0.6 lists what
    #: is not whole bytes as something else.
    TARGET_BYTE = Row("@th,64,8", _BYTE, lambda p: None if p.target is None else p.target >> 120)
    OIFNAME_IP_DADDR = Row("oifname . ip daddr", Keys(KeyType.IFNAME_V4), _to(_ip(4, _daddr)))
    OIFNAME_IP6_DADDR = Row("oifname . ip6 daddr", Keys(KeyType.IFNAME_V6), _to(_ip(6, _daddr)))

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


#: What is asked for the address of one end.
ADDRESS_FIELDS: Mapping[Field, tuple[Family, Side]] = {
    address_field(family, side): (family, side) for family in FAMILIES for side in get_args(Side)
}


def pair_field(family: Family) -> Field:
    """`ip saddr . ip daddr`."""
    return FIELDS[f"{_IP[family]} saddr . {_IP[family]} daddr"]


def interface_field(family: Family, side: Side) -> Field:
    """`iifname . ip saddr`, `oifname . ip6 daddr` and their like."""
    return FIELDS[f"{'iifname' if side == 'saddr' else 'oifname'} . {_IP[family]} {side}"]


def port_field(protocol: L4, side: PortSide) -> Field:
    """`tcp dport`, `udp sport` and their like."""
    return FIELDS[f"{protocol} {side}"]


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
