"""Matches as nft text, as libnftables' JSON and back, and against packets."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import assert_never

from policyd_compiler.nft.expressions import (
    FIELDS,
    Field,
    InSet,
    Keys,
    Kind,
    Match,
    Numbers,
    Prefix,
    Range,
    Right,
    Word,
    Words,
)
from policyd_compiler.nft.keys import (
    Interval,
    Json,
    Key,
    KeyType,
    SetName,
    bits,
    prefix_json,
    print_prefix,
    print_value,
    read_prefix_json,
)
from policyd_compiler.nft.packet import Packet

# --- text and JSON -------------------------------------------------------------------------------------


def print_match(match: Match) -> str:
    """A match in nft's words."""
    row = match.field.row
    return f"{row.text} {'!= ' if match.negated else ''}{_print_right(row.kind, match.right)}"


def _print_right(kind: Kind, right: Right) -> str:
    match right:
        case Word(word):
            return print_value("ifname", word) if isinstance(kind, Keys) else word
        case InSet(name):
            return f"@{name}"
        case Numbers(intervals):
            texts = [str(low) if low == high else f"{low}-{high}" for low, high in intervals]
            return texts[0] if len(texts) == 1 else f"{{ {', '.join(texts)} }}"
        case Prefix(network, length):
            return print_prefix(_value_kind(kind), network, length)
        case _:
            assert_never(right)


def match_json(match: Match) -> Json:
    """A match in libnftables' JSON."""
    row = match.field.row
    operator = "!=" if match.negated else row.is_
    return {
        "match": {"op": operator, "left": left_json(row.text), "right": _right_json(row.kind, match.right)}
    }


def left_json(text: str) -> Json:
    """A field in libnftables' JSON, which says the same words with what they are: payload, meta, ct, …"""
    parts = text.split(" . ")
    if len(parts) > 1:
        return {"concat": [left_json(part) for part in parts]}
    head, _, rest = text.partition(" ")
    name, mask, flags = rest.partition(" & ")
    left: Json
    match head:
        case "iifname" | "oifname":
            left = {"meta": {"key": head}}
        case "meta" | "ct":
            left = {head: {"key": name}}
        case "fib":
            flag, _, result = name.partition(" ")
            left = {"fib": {"result": result, "flags": [flag]}}
        case _:
            left = {"payload": {"protocol": head, "field": name}}
    return {"&": [left, [*flags.strip("()").split(" | ")]]} if mask else left


def _right_json(kind: Kind, right: Right) -> Json:
    match right:
        case Word(word):
            return word
        case InSet(name):
            return f"@{name}"
        case Numbers(intervals):
            values: list[Json] = [low if low == high else {"range": [low, high]} for low, high in intervals]
            return values[0] if len(values) == 1 else {"set": values}
        case Prefix(network, length):
            return prefix_json(_value_kind(kind), network, length)
        case _:
            assert_never(right)


def _value_kind(kind: Kind) -> str:
    """The kind of the one value of a key. Raises ValueError for what is none: our bug."""
    if isinstance(kind, Keys) and len(kind.type.kinds) == 1:
        return kind.type.kinds[0]
    raise ValueError(f"no single value: {kind}")


_BY_JSON: Mapping[str, Field] = {
    json.dumps(left_json(text), sort_keys=True): found for text, found in FIELDS.items()
}


def read_left_json(left: Json) -> Field | None:
    """The field of a listing; None for one that is not in the table."""
    return _BY_JSON.get(json.dumps(_as_1_0(left), sort_keys=True))


def _as_1_0(left: Json) -> Json:
    """As nft 1.0 writes it: 1.1 writes a list of one as its only member, and spells `|` out."""
    match left:
        case {"fib": {"flags": str(flag), "result": result}}:
            return {"fib": {"flags": [flag], "result": result}}
        case {"&": [masked, {"|": flags}]}:
            return {"&": [masked, flags]}
        case _:
            return left


def read_match_json(value: Json) -> Match | None:
    """The match of a listing; None for what the table cannot say. Raises ValueError for odd values."""
    match value:
        case {"match": {"op": operator, "left": left, "right": right, **more}, **rest}:
            found = None if more or rest else read_left_json(left)
        case _:
            return None
    if found is None or operator not in ("!=", found.row.is_):
        return None
    read = _read_right_json(found.row.kind, right)
    return None if read is None else Match(found, read, operator == "!=")


def _read_right_json(kind: Kind, right: Json) -> Right | None:
    match kind:
        case Words(words):
            return Word(right) if isinstance(right, str) and right in words else None
        case Range():
            return Numbers(tuple(sorted(_read_interval(kind, item) for item in _members(right))))
        case Keys(key_type):
            if isinstance(right, str) and right.startswith("@"):
                return InSet(SetName(right[1:]))
            if len(key_type.kinds) > 1:
                return None
            if key_type is KeyType.IFNAME:
                return Word(right) if isinstance(right, str) else None
            return Prefix(*read_prefix_json(key_type.kinds[0], right))
        case _:
            assert_never(kind)


def _members(right: Json) -> list[Json]:
    match right:
        case {"set": list(items)}:
            return items
        case {"set": item}:
            return [item]
        case _:
            return [right]


def _read_interval(kind: Range, item: Json) -> Interval:
    match item:
        case {"range": [first, last]}:
            low, high = _read_number(kind, first), _read_number(kind, last)
        case _:
            low = high = _read_number(kind, item)
    return low, high


def _read_number(kind: Range, item: Json) -> int:
    number = kind.names.get(item) if isinstance(item, str) else item
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= kind.highest:
        raise ValueError(f"no number from 0 to {kind.highest}: {json.dumps(item)}")
    return number


# --- packets -------------------------------------------------------------------------------------------


def holds(match: Match, packet: Packet, has: Callable[[SetName, Key], bool]) -> bool:
    """Whether a packet matches; `has` tells what is in a set."""
    value = match.field.row.read(packet)
    if value is None:
        return False
    return _is(match.field.row.kind, value, match.right, has) != match.negated


def _is(kind: Kind, value: Key, right: Right, has: Callable[[SetName, Key], bool]) -> bool:
    match right:
        case Word(word):
            return is_named(value, word)
        case InSet(name):
            return has(name, value)
        case Numbers(intervals):
            return isinstance(value, int) and any(low <= value <= high for low, high in intervals)
        case Prefix(network, length):
            shift = bits(_value_kind(kind)) - length
            return isinstance(value, int) and value >> shift == network >> shift
        case _:
            assert_never(right)


def is_named(value: Key, name: str) -> bool:
    """Whether a word is this one; a `*` at its end stands for anything."""
    if name.endswith("*"):
        return isinstance(value, str) and value.startswith(name[:-1])
    return value == name
