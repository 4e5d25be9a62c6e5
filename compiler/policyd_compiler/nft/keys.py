"""What sets and maps are keyed by, and the values in keys and matches, as text and as libnftables' JSON.

A key type is one kind of value or a concatenation of some. A further kind is one more `_Value`; a further
type of keys one more row in `KeyType` and `TYPEOF`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Literal, NewType, TypeAlias

from policyd_compiler.addr import (
    cover_prefixes,
    parse_v4,
    parse_v6,
    prefix_interval,
    print_v4,
    print_v6,
)
from policyd_compiler.errors import CompilerBug

SetName = NewType("SetName", str)

Family: TypeAlias = Literal[4, 6]
FAMILIES: tuple[Family, ...] = (4, 6)
Side: TypeAlias = Literal["saddr", "daddr"]
PortSide: TypeAlias = Literal["dport", "sport"]
Direction: TypeAlias = Literal["iifname", "oifname"]
L4: TypeAlias = Literal["tcp", "udp", "sctp"]

#: Inclusive (low, high); sorted, disjoint, not adjacent.
Interval: TypeAlias = tuple[int, int]
Json: TypeAlias = dict[str, "Json"] | list["Json"] | str | int | None


class KeyType(Enum):
    """What the elements of a set or map are keyed by. The value is nft's own text."""

    V4 = "ipv4_addr"
    V6 = "ipv6_addr"
    V4_PAIR = "ipv4_addr . ipv4_addr"
    V6_PAIR = "ipv6_addr . ipv6_addr"
    IFNAME = "ifname"
    ETHER = "ether_addr"
    IFNAME_V4 = "ifname . ipv4_addr"
    IFNAME_V6 = "ifname . ipv6_addr"
    IFNAME_ETHER = "ifname . ether_addr"
    #: With the target of a neighbour solicitation or advertisement, which nft 1.0.6 knows as raw bytes only.
    #: Its JSON cannot declare such a set.
    IFNAME_TARGET = "ifname . integer"

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kind of each value in a key."""
        return _KINDS[self]


_KINDS: Mapping[KeyType, tuple[str, ...]] = {kind: tuple(kind.value.split(" . ")) for kind in KeyType}

#: The fields that keys are taken from, as nft writes them after `typeof`. Sets are declared by these: for a
#: set declared by `type`, nft from 1.1.2 on notes what makes older ones crash, whoever on the node runs them
#: (kubernetes#136786); for one declared by `typeof`, what all of them know.
TYPEOF: Mapping[KeyType, str] = {
    KeyType.V4: "ip saddr",
    KeyType.V6: "ip6 saddr",
    KeyType.V4_PAIR: "ip saddr . ip daddr",
    KeyType.V6_PAIR: "ip6 saddr . ip6 daddr",
    KeyType.IFNAME: "iifname",
    KeyType.ETHER: "ether saddr",
    KeyType.IFNAME_V4: "iifname . ip saddr",
    KeyType.IFNAME_V6: "iifname . ip6 saddr",
    KeyType.IFNAME_ETHER: "iifname . ether saddr",
    KeyType.IFNAME_TARGET: "iifname . @th,64,128",
}

#: One value: an address as a number, a name as text.
Value: TypeAlias = int | str
#: V4/V6: an address, or an Interval where the set has `interval`. IFNAME: a name, with a trailing `*` for
#: every name that begins so. Concatenations: a tuple of values, such as (saddr, daddr).
Key: TypeAlias = Value | Interval | tuple[str, int]

KEY: Mapping[Family, KeyType] = {4: KeyType.V4, 6: KeyType.V6}
FROM: Mapping[Family, KeyType] = {4: KeyType.IFNAME_V4, 6: KeyType.IFNAME_V6}
PAIR: Mapping[Family, KeyType] = {4: KeyType.V4_PAIR, 6: KeyType.V6_PAIR}


# --- values --------------------------------------------------------------------------------------------


def print_ether(address: int) -> str:
    """An address of a link as nft writes it."""
    return address.to_bytes(6).hex(":")


def parse_ether(text: str) -> int:
    """Read it. Raises ValueError."""
    if not _ETHER.fullmatch(text):
        raise ValueError(f"not an address of a link: {text[:40]!r}")
    return int(text.replace(":", ""), 16)


def _parse_bytes(text: str) -> int:
    if not _BYTES.fullmatch(text):
        raise ValueError(f"no raw bytes: {text[:40]!r}")
    return int(text, 16)


_BYTES = re.compile(r"0x[0-9a-f]{1,32}")
_ETHER = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class _Value:
    """A kind of number: how many bits it has, how it is written, and how it is read (ValueError)."""

    bits: int
    show: Callable[[int], str]
    read: Callable[[str], int]


_NUMBERS: Mapping[str, _Value] = {
    "ipv4_addr": _Value(32, print_v4, parse_v4),
    "ipv6_addr": _Value(128, print_v6, parse_v6),
    "ether_addr": _Value(48, print_ether, parse_ether),
    "integer": _Value(128, hex, _parse_bytes),
}
#: The family of the addresses that can be ranges and prefixes.
_FAMILIES: Mapping[str, Family] = {"ipv4_addr": 4, "ipv6_addr": 6}


def bits(kind: str) -> int:
    """How many bits a value of this kind has. Raises KeyError for names."""
    return _NUMBERS[kind].bits


def print_value(kind: str, value: object) -> str:
    """A value as nft text. Raises CompilerBug for a name that would end its quotes, ValueError for what is
    not of its kind: our bugs."""
    if isinstance(value, str) and kind == "ifname":
        if '"' in value or not value.isprintable():
            raise CompilerBug(f"no interface has the name {value!r}")
        return f'"{value}"'
    if isinstance(value, int) and kind in _NUMBERS:
        return _NUMBERS[kind].show(value)
    raise ValueError(f"no {kind}: {value!r}")


def parse_value(kind: str, text: str) -> Value:
    """Read nft text. Raises ValueError."""
    if kind == "ifname":
        if len(text) < 2 or not text.startswith('"'):
            raise ValueError(f"no name of an interface: {text}")
        return text[1:-1]
    return _NUMBERS[kind].read(text)


def _value_json(kind: str, value: object) -> Json:
    return value if isinstance(value, str) and kind == "ifname" else print_value(kind, value)


def _read_value_json(kind: str, item: Json) -> Value:
    if kind == "integer" and isinstance(item, int) and not isinstance(item, bool):
        return item % (1 << 64)  # what 64 bits can hold nft lists as a number, with a sign
    if not isinstance(item, str):
        raise ValueError(f"no {kind}: {item!r}")
    return item if kind == "ifname" else _NUMBERS[kind].read(item)


def print_prefix(kind: str, network: int, length: int) -> str:
    """A prefix as nft text; all bits of a value: the value."""
    text = print_value(kind, network)
    return text if length == bits(kind) else f"{text}/{length}"


def parse_prefix(kind: str, text: str) -> tuple[int, int]:
    """Read (network, length). Raises ValueError."""
    network, slash, length = text.partition("/")
    if not slash:
        return _NUMBERS[kind].read(network), bits(kind)
    return _NUMBERS[kind].read(network), _length(kind, length)


def prefix_json(kind: str, network: int, length: int) -> Json:
    """A prefix in JSON; all bits of a value: the value."""
    text = print_value(kind, network)
    return text if length == bits(kind) else {"prefix": {"addr": text, "len": length}}


def read_prefix_json(kind: str, item: Json) -> tuple[int, int]:
    """Read (network, length). Raises ValueError."""
    match item:
        case str():
            return _NUMBERS[kind].read(item), bits(kind)
        case {"prefix": {"addr": str(network), "len": int(length)}, **rest} if not rest:
            return _NUMBERS[kind].read(network), _length(kind, str(length))
        case _:
            raise ValueError(f"no prefix: {item!r}")


def _length(kind: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 4 and int(text) <= bits(kind)):
        raise ValueError(f"no length of a prefix: {text[:40]!r}")
    return int(text)


# --- keys ----------------------------------------------------------------------------------------------


def print_key(key_type: KeyType, key: Key) -> str:
    """One element's key as nft text. Raises ValueError for a key that does not fit its type: our bug."""
    kinds = key_type.kinds
    if len(kinds) == 1:
        return _print_range(kinds[0], key) if isinstance(key, tuple) else print_value(kinds[0], key)
    values = key if isinstance(key, tuple) else (key,)
    return " . ".join(print_value(kind, value) for kind, value in zip(kinds, values, strict=True))


def _print_range(kind: str, interval: tuple[object, object]) -> str:
    """A value, a prefix where the interval is one, or a range."""
    match interval:
        case (int(low), int(high)) if low != high:
            prefixes = cover_prefixes(_FAMILIES[kind], (low, high))
            if len(prefixes) == 1:
                return print_prefix(kind, *prefixes[0])
            return f"{print_value(kind, low)}-{print_value(kind, high)}"
        case (low, _):
            return print_value(kind, low)


def parse_key(key_type: KeyType, words: list[str], *, interval: bool) -> Key:
    """Read one element's key from the values between its dots. Raises ValueError."""
    kinds = key_type.kinds
    if len(words) != len(kinds):
        raise ValueError(f"no key of type {key_type.value}: {' . '.join(words)}")
    if len(kinds) > 1:
        return _concatenated([parse_value(kind, word) for kind, word in zip(kinds, words, strict=True)])
    kind, text = kinds[0], words[0]
    if kind not in _FAMILIES:
        return parse_value(kind, text)
    if "/" in text:
        return prefix_interval(_FAMILIES[kind], *parse_prefix(kind, text))
    read = _NUMBERS[kind].read
    if "-" in text:
        first, _, last = text.partition("-")
        return (read(first), read(last))
    address = read(text)
    return (address, address) if interval else address


def key_json(key_type: KeyType, key: Key) -> Json:
    """One element's key in JSON."""
    kinds = key_type.kinds
    if len(kinds) == 1:
        return _range_json(kinds[0], key) if isinstance(key, tuple) else _value_json(kinds[0], key)
    values = key if isinstance(key, tuple) else (key,)
    return {"concat": [_value_json(kind, value) for kind, value in zip(kinds, values, strict=True)]}


def _range_json(kind: str, interval: tuple[object, object]) -> Json:
    match interval:
        case (int(low), int(high)) if low != high:
            prefixes = cover_prefixes(_FAMILIES[kind], (low, high))
            if len(prefixes) == 1:
                return prefix_json(kind, *prefixes[0])
            return {"range": [print_value(kind, low), print_value(kind, high)]}
        case (low, _):
            return _value_json(kind, low)


def read_key_json(key_type: KeyType, item: Json, *, interval: bool) -> Key:
    """Read one element's key from a listing. Raises ValueError."""
    kinds = key_type.kinds
    match item:
        case {"concat": list(values), **rest} if not rest and len(values) == len(kinds) > 1:
            return _concatenated(
                [_read_value_json(kind, value) for kind, value in zip(kinds, values, strict=True)]
            )
        case _ if len(kinds) > 1 or kinds[0] not in _FAMILIES:
            return _read_value_json(key_type.value, item)
        case {"prefix": _} if interval:
            return prefix_interval(_FAMILIES[kinds[0]], *read_prefix_json(kinds[0], item))
        case {"range": [str(low), str(high)], **rest} if interval and not rest:
            read = _NUMBERS[kinds[0]].read
            return (read(low), read(high))
        case _:
            value = _read_value_json(kinds[0], item)
            return (value, value) if interval and isinstance(value, int) else value


def _concatenated(values: list[Value]) -> Key:
    """The key of two values."""
    match values:
        case [int(first), int(second)]:
            return (first, second)
        case [str(name), int(number)]:
            return (name, number)
        case _:
            raise ValueError(f"unsupported key: {values}")
