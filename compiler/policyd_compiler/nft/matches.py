"""Matches as nft text, as libnftables' JSON and back, and against packets."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
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
from policyd_compiler.nft.packet import ARP, IP, IP6, QINQ, VLAN, Packet

# --- what nft lists otherwise --------------------------------------------------------------------------

_LINK = (Field.ETHER_TYPE, Field.META_PROTOCOL)
#: The first words of matches for which nft asks the same as these do, and so does not list these before them.
_IMPLIED: Mapping[tuple[Field, int], frozenset[str]] = {
    (field, number): frozenset(heads)
    for fields, rows in (
        (_LINK, ((IP, ("ip", "icmp")), (IP6, ("ip6", "icmpv6")), (ARP, ("arp",)))),
        ((Field.ETHER_TYPE,), ((VLAN, ("ether", "meta")), (QINQ, ("ether", "meta")))),
        (
            (Field.META_L4PROTO,),
            ((1, ("icmp",)), (6, ("tcp",)), (17, ("udp",)), (58, ("icmpv6",)), (132, ("sctp",))),
        ),
    )
    for field in fields
    for number, heads in rows
}
#: In family bridge nft asks for the type in the header of the link before these, which is after the sender.
_ASK_TYPE = frozenset({"arp", "icmp", "icmpv6"})
_ORDER: Mapping[Field, int] = {field: at for at, field in enumerate(Field)}


def misread(matches: Sequence[Match]) -> Match | None:
    """A match that nft 1.0.6 would not list as it was sent, next to what follows it; None without one.

    A rule with one would seem changed by somebody for ever. nft takes some matches for conditions of later
    ones, orders what lies side by side in a header, and aborts at one pair. Held to the kernel for all pairs
    of fields; a little more is refused than would have to be.
    """
    if len(matches) > 1 and (raw := [match for match in matches if match.field is Field.TARGET_BYTE]):
        return raw[0]  # it becomes a field of whatever else the rule asks for
    for at, match in enumerate(matches):
        for later in matches[at + 1 :]:
            if _is_implied(match, later) or _is_behind(match, later):
                return match
    return None


def _is_implied(match: Match, later: Match) -> bool:
    """Whether nft takes a match for the condition of a later one."""
    number = _number(match)
    if number is None:
        return False
    if _heads(later) & _IMPLIED.get((match.field, number), frozenset()):
        return True
    if match.field is Field.META_L4PROTO:
        return later.field is Field.IIFNAME_TARGET
    # ICMP and ICMPv6 imply the family, whatever was asked before.
    return match.field in _LINK and later.field is Field.META_L4PROTO and _number(later) in (1, 58)


def _is_behind(match: Match, later: Match) -> bool:
    """Whether nft puts a later match before this one, as it is on an earlier field of the same header."""
    if _number(later) is None:
        return False
    if later.field is Field.ETHER_SADDR and _heads(match) & _ASK_TYPE:
        return True
    ordered = _number(match) is not None and len(_heads(match) | _heads(later)) == 1
    return ordered and _ORDER[later.field] < _ORDER[match.field]


def _heads(match: Match) -> set[str]:
    """The first word of what a match is on, of each part of a concatenation."""
    return {part.partition(" ")[0] for part in match.field.row.text.split(" . ")}


def _number(match: Match) -> int | None:
    """The one number or address that a match asks for; None for all others."""
    match match:
        case Match(_, Numbers(((low, high),)), negated=False) if low == high:
            return low
        case Match(_, Prefix(network, _), negated=False):
            return network
        case _:
            return None


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
        case _ if head.startswith("@"):
            base, offset, length = head[1:].split(",")
            left = {"payload": {"base": base, "offset": int(offset), "len": int(length)}}
        case _:
            left = {"payload": {"protocol": head, "field": name}}
    bits_of: list[Json] = [*flags.strip("()").split(" | ")]
    return {"&": [left, bits_of if len(bits_of) > 1 else bits_of[0]]} if mask else left


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
    """Whether a packet matches; `has` says what is in a set."""
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
