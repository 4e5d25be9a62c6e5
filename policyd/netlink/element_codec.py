"""Elements of nftables' sets and verdict maps as netlink attributes, and back. Pure.

A key is the bytes that packets have, each value of a concatenation padded to four bytes. An interval is two
elements: where it begins, and one marked as an end after its last value; one that reaches the last value
there is has no end.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TypeAlias, TypeVar, cast

from policyd.netlink.messages import Malformed, attribute, attributes
from policyd_compiler.nft.ast import (
    Accept,
    ChainName,
    Continue,
    Drop,
    Goto,
    Jump,
    Return,
    Set,
    Verdict,
    VerdictMap,
)
from policyd_compiler.nft.json_parser import ForeignContent
from policyd_compiler.nft.keys import Key, KeyType

Part: TypeAlias = Set | VerdictMap
PartT = TypeVar("PartT", bound=Part)
_Rest: TypeAlias = tuple[Verdict | None, bool]

_ELEMENT = 1
_KEY, _DATA, _FLAGS, _USERDATA = 1, 2, 3, 6
_VALUE, _VERDICT = 1, 2
_CODE, _CHAIN = 1, 2
_END = 1
#: What nft notes of an interval without an end, to tell it from one address: its listing depends on it.
_OPEN = bytes((1, 4, 1, 0, 0, 0))
#: Lengths and types of an element, of its key and of the key's value stand before the key.
_HEAD = struct.Struct("=HHHHHH")
_TYPE = 0x3FFF
_SIZES = {"ipv4_addr": 4, "ipv6_addr": 16, "ether_addr": 6, "ifname": 16, "integer": 16}
_LONGEST_NAME = 15
_ENDS: dict[int, Verdict] = {0: Drop(), 1: Accept(), -1: Continue(), -5: Return()}
_MOVES: dict[int, type[Jump | Goto]] = {-3: Jump, -4: Goto}


# --- to bytes ------------------------------------------------------------------------------------------


def encode(part: Part) -> list[bytes]:
    """The bytes of each element, in their order: one attribute, or two where it is an interval.

    Raises ValueError for what is not of the part's type: our bug.
    """
    if isinstance(part, Set):
        return encode_keys(part.key, part.elements, interval=part.interval)
    # A few different verdicts, of maybe thousands of elements: each is encoded once.
    if part.interval:
        data = {verdict: _verdict(verdict) for verdict in {verdict for _, verdict in part.elements}}
        return [_interval(part.key, key, data[verdict]) for key, verdict in part.elements]
    to_bytes, size = _key_encoder(part.key)
    frames: dict[Verdict, tuple[bytes, bytes]] = {}
    found: list[bytes] = []
    for key, verdict in part.elements:
        frame = frames.get(verdict)
        if frame is None:
            frame = frames[verdict] = _frame(size, _verdict(verdict))
        found.append(frame[0] + to_bytes(key) + frame[1])
    return found


def encode_keys(kind: KeyType, keys: Iterable[Key], *, interval: bool = False) -> list[bytes]:
    """The same of elements without data: a set's, or those that are to be deleted."""
    if interval:
        return [_interval(kind, key, b"") for key in keys]
    to_bytes, size = _key_encoder(kind)
    before, behind = _frame(size)
    return [before + to_bytes(key) + behind for key in keys]


@lru_cache(1024)
def _frame(size: int, data: bytes = b"", flags: int = 0) -> tuple[bytes, bytes]:
    """What stands in an element before its key of so many bytes, and after it."""
    key = attribute(_KEY, attribute(_VALUE, bytes(size)), nested=True)
    marked = attribute(_FLAGS, flags.to_bytes(4)) if flags else b""
    whole = attribute(_ELEMENT, key + marked + data, nested=True)
    return whole[: _HEAD.size], whole[_HEAD.size + size :]


@lru_cache(1024)
def _verdict(verdict: Verdict) -> bytes:
    code = next((code for code, end in _ENDS.items() if end == verdict), None)
    chain = b""
    if code is None:
        code = next((code for code, move in _MOVES.items() if type(verdict) is move), None)
        if code is None or not isinstance(verdict, Jump | Goto):
            raise ValueError(f"no verdict of an element: {verdict}")
        chain = attribute(_CHAIN, verdict.chain.encode() + b"\0")
    value = attribute(_CODE, code.to_bytes(4, signed=True)) + chain
    return attribute(_DATA, attribute(_VERDICT, value, nested=True), nested=True)


def _key_encoder(kind: KeyType) -> tuple[Callable[[Key], bytes], int]:
    """How a key becomes bytes, and how many."""
    if kind in (KeyType.V4, KeyType.V6):  # most are addresses, and there may be many
        size = _SIZES[kind.value]
        return lambda key: _number(key, size), size
    size = key_size(kind)
    return lambda key: _key(kind, key), size


def key_size(kind: KeyType) -> int:
    """How many bytes a key has."""
    if len(kind.kinds) == 1:
        return _SIZES[kind.value]
    return sum(_padded(_SIZES[each]) for each in kind.kinds)


def _padded(size: int) -> int:
    return (size + 3) & ~3


def _key(kind: KeyType, key: Key) -> bytes:
    kinds = kind.kinds
    if len(kinds) == 1:
        return _value(kinds[0], key)
    values = key if isinstance(key, tuple) else (key,)
    encoded = (_value(each, value) for each, value in zip(kinds, values, strict=True))
    return b"".join(value + bytes(-len(value) % 4) for value in encoded)


def _value(kind: str, value: object) -> bytes:
    if kind == "ifname" and isinstance(value, str):
        return _name(value)
    if kind != "ifname" and isinstance(value, int):
        return _number(value, _SIZES[kind])
    raise ValueError(f"no {kind}: {value!r}")


def _number(value: object, size: int) -> bytes:
    if not isinstance(value, int):
        raise ValueError(f"no number: {value!r}")
    try:
        return value.to_bytes(size)
    except OverflowError as error:
        raise ValueError(f"{value} is no number of {size} bytes") from error


def _name(name: str, filler: bytes = b"\0") -> bytes:
    encoded = name.encode()
    if "*" in name:
        raise ValueError(f"no pattern of names fits here: {name!r}")
    if not 0 < len(encoded) <= _LONGEST_NAME or b"\0" in encoded:
        raise ValueError(f"no interface has the name {name!r}")
    return encoded.ljust(_SIZES["ifname"], filler)


def _interval(kind: KeyType, key: Key, data: bytes) -> bytes:
    """Where an interval begins, and its end."""
    size = key_size(kind)
    low, high = _bounds(kind, key, size)
    if high == (1 << 8 * size) - 1:
        before, behind = _frame(size, data + attribute(_USERDATA, _OPEN))
        return before + low.to_bytes(size) + behind
    before, behind = _frame(size, data)
    end_before, end_behind = _frame(size, flags=_END)
    return before + low.to_bytes(size) + behind + end_before + (high + 1).to_bytes(size) + end_behind


def _bounds(kind: KeyType, key: Key, size: int) -> tuple[int, int]:
    if kind is KeyType.IFNAME and isinstance(key, str):
        if key.endswith("*"):
            return int.from_bytes(_name(key[:-1])), int.from_bytes(_name(key[:-1], b"\xff"))
        return (number := int.from_bytes(_value("ifname", key))), number
    low, high = key if isinstance(key, tuple) else (None, None)
    if kind in (KeyType.V4, KeyType.V6) and isinstance(low, int) and isinstance(high, int) and low <= high:
        return int.from_bytes(_number(low, size)), int.from_bytes(_number(high, size))
    raise ValueError(f"no interval of type {kind.value}: {key!r}")


# --- from bytes ----------------------------------------------------------------------------------------


def decode(payloads: Iterable[bytes], part: PartT) -> PartT:
    """The part with these elements, sorted as `parse_listing` does. Each payload is a list of attributes.

    Raises ForeignContent for elements that a part of this type cannot hold, as our syntax tree has it;
    Malformed for what is no list of elements.
    """
    size = key_size(part.key)
    known: dict[bytes, _Rest] = {}
    found: list[tuple[bytes, _Rest]] = []
    for payload in payloads:
        for key, rest in _split(payload, size):
            meaning = known.get(rest)
            if meaning is None:
                meaning = known[rest] = _rest(rest, data=isinstance(part, VerdictMap))
            found.append((key, meaning))
    if part.interval:
        pairs = dict(_intervals(part.key, found, size))
    else:
        if any(end for _, end in known.values()):
            raise ForeignContent(("ends of intervals",))
        from_bytes = _key_decoder(part.key)
        pairs = {from_bytes(key): verdict for key, (verdict, _) in found}
    return _with_elements(part, pairs)


def _with_elements(part: PartT, pairs: dict[Key, Verdict | None]) -> PartT:
    keys = cast("list[Key]", sorted(cast("list[int]", list(pairs))))
    if isinstance(part, Set):
        return cast(PartT, replace(part, elements=tuple(keys)))
    elements = tuple((key, cast(Verdict, pairs[key])) for key in keys)
    return cast(PartT, replace(part, elements=elements))


def _split(payload: bytes, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Of each element its key, and the attributes after it."""
    at, padded, end = 0, _padded(size), len(payload)
    while at < end:
        if at + _HEAD.size > end:
            raise Malformed("half an element")
        length, kind, key_length, key_kind, value_length, value_kind = _HEAD.unpack_from(payload, at)
        if kind & _TYPE != _ELEMENT or not _HEAD.size <= length <= end - at:
            raise Malformed(f"an element of {length} bytes in {end - at}")
        if key_kind & _TYPE != _KEY or value_kind & _TYPE != _VALUE or value_length != size + 4:
            raise ForeignContent(("an element without a key of its set",))
        behind = at + _HEAD.size + padded
        if key_length != padded + 8 or behind > at + length:
            raise Malformed("a key that is longer than its element")
        yield payload[at + _HEAD.size : at + _HEAD.size + size], payload[behind : at + length]
        at += _padded(length)


def _rest(rest: bytes, *, data: bool) -> _Rest:
    """The verdict, and whether it is the end of an interval."""
    fields = attributes(rest)
    flags = int.from_bytes(fields.pop(_FLAGS, b""))
    if fields.pop(_USERDATA, _OPEN) != _OPEN or flags not in (0, _END):
        raise ForeignContent(("an element with what is not ours",))
    verdict = _read_verdict(fields.pop(_DATA)) if _DATA in fields else None
    # The end of an interval has no verdict.
    if fields or (verdict is None) == (data and not flags):
        raise ForeignContent(("an element with what is not ours",))
    return verdict, bool(flags)


def _read_verdict(data: bytes) -> Verdict:
    fields = attributes(attributes(data).get(_VERDICT, b""))
    code = int.from_bytes(fields.get(_CODE, b"\x7f"), signed=True)
    chain = fields.get(_CHAIN, b"").rstrip(b"\0")
    if code in _ENDS and not chain:
        return _ENDS[code]
    if code in _MOVES and chain:
        return _MOVES[code](ChainName(chain.decode(errors="replace")))
    raise ForeignContent((f"an element with the verdict {code}",))


def _key_decoder(kind: KeyType) -> Callable[[bytes], Key]:
    kinds = kind.kinds
    if len(kinds) == 1:
        return _read_name if kind is KeyType.IFNAME else int.from_bytes
    first = _SIZES[kinds[0]]
    start, size = _padded(first), _SIZES[kinds[1]]
    if kinds[0] == "ifname":
        return lambda key: (_read_name(key[:first]), int.from_bytes(key[start : start + size]))
    return lambda key: (int.from_bytes(key[:first]), int.from_bytes(key[start : start + size]))


def _read_name(key: bytes) -> str:
    return key.rstrip(b"\0").decode(errors="replace")


def _intervals(
    kind: KeyType, found: Sequence[tuple[bytes, _Rest]], size: int
) -> Iterator[tuple[Key, Verdict | None]]:
    """The intervals that begin and end at these values, as a look-up in the kernel sees them.

    That is: what decides is the greatest value that is not above the one looked up; ends come before
    beginnings at the same place.
    """
    points = sorted(((key, not end, verdict) for key, (verdict, end) in found), key=lambda point: point[:2])
    open_: tuple[int, Verdict | None] | None = None
    for key, begins, verdict in points:
        number = int.from_bytes(key)
        if open_ is not None and number > open_[0]:
            yield _read_interval(kind, open_[0], number - 1, size), open_[1]
        open_ = (number, verdict) if begins else None
    if open_ is not None:
        yield _read_interval(kind, open_[0], (1 << 8 * size) - 1, size), open_[1]


def _read_interval(kind: KeyType, low: int, high: int, size: int) -> Key:
    if kind is not KeyType.IFNAME:
        return (low, high)
    name = low.to_bytes(size).rstrip(b"\0")
    if low == high:
        return name.decode(errors="replace")
    if 0 < len(name) <= _LONGEST_NAME and high.to_bytes(size) == name.ljust(size, b"\xff"):
        return name.decode(errors="replace") + "*"
    raise ForeignContent(("a range of names of interfaces",))
