"""Rules of `nft -j list table` → ours. What our syntax tree cannot say is not ours.

nft 1.1 writes some lists of one as their only member and spells `|` out; both forms are read.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias, cast

from policyd_compiler.addr import BITS, parse_address
from policyd_compiler.nft.ast import (
    L4,
    Accept,
    Action,
    AddrInPrefix,
    AddrInSet,
    AddrVmap,
    ChainName,
    CtDnat,
    CtState,
    CtStateName,
    Direction,
    DportIn,
    Drop,
    Family,
    FibLocal,
    Goto,
    Icmpv6Types,
    IfnameInSet,
    Interval,
    Jump,
    L4Proto,
    Match,
    PairInSet,
    Reject,
    Return,
    Rule,
    SetName,
    Side,
    TcpNotSyn,
    Verdict,
)

_FIELDS: dict[Family, str] = {4: "ip", 6: "ip6"}
_SIDES: tuple[Side, Side] = ("saddr", "daddr")
_Read: TypeAlias = Callable[[Any], Match | None]
_STATES = ("established", "related", "new", "invalid", "untracked")
#: nft's names of ICMPv6 types (`nft describe icmpv6 type`); it prints these for numbers.
ICMPV6_TYPES = {
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
#: Without /etc/protocols nft prints numbers, and some systems name 58 differently.
_PROTOCOLS: dict[int | str, str] = {
    1: "icmp", 6: "tcp", 17: "udp", 58: "ipv6-icmp", "icmpv6": "ipv6-icmp", 132: "sctp",
}  # fmt: skip


class NotOurs(Exception):
    """Something that policyd does not write."""


def only(value: dict[str, Any], allowed: set[str]) -> None:
    """Refuse attributes that we do not know: they may have an effect."""
    if unknown := sorted(set(value) - allowed):
        raise NotOurs(", ".join(f"{key} {json.dumps(value[key])}" for key in unknown))


def read_rule(expressions: list[dict[str, Any]], comment: str) -> Rule:
    """A rule from its list of statements: matches, and one verdict at the end."""
    if not expressions:
        raise NotOurs("a rule without a verdict")
    matches = tuple(_read_match(expression) for expression in expressions[:-1])
    return Rule(_read_action(expressions[-1]), matches, comment)


def read_verdict(value: dict[str, Any]) -> Verdict:
    """A verdict of a rule or a map's element."""
    match value:
        case {"accept": None} if len(value) == 1:
            return Accept()
        case {"drop": None} if len(value) == 1:
            return Drop()
        case {"return": None} if len(value) == 1:
            return Return()
        case {"jump": {"target": str(chain)}} if len(value) == 1:
            return Jump(ChainName(chain))
        case {"goto": {"target": str(chain)}} if len(value) == 1:
            return Goto(ChainName(chain))
        case _:
            raise NotOurs(json.dumps(value))


def _read_action(value: dict[str, Any]) -> Action:
    if value == {"reject": {"type": "icmpx", "expr": "admin-prohibited"}}:
        return Reject()
    if set(value) == {"vmap"} and set(value["vmap"]) == {"key", "data"}:
        lookup = _VMAP_KEYS.get(_canonical(value["vmap"]["key"]))
        if lookup is not None:
            return AddrVmap(*lookup, _set_name(value["vmap"]["data"]))
    return read_verdict(value)


def _read_match(value: dict[str, Any]) -> Match:
    if set(value) == {"match"} and set(value["match"]) == {"op", "left", "right"}:
        test = value["match"]
        read = _READERS.get((_canonical(test["left"]), test["op"]))
        found = read(test["right"]) if read is not None else None
        if found is not None:
            return found
    raise NotOurs(json.dumps(value))


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def _payload(protocol: str, field: str) -> dict[str, Any]:
    return {"payload": {"protocol": protocol, "field": field}}


def _all_readers() -> dict[tuple[str, str], _Read]:
    """What our matches look like: the left side and the operator exactly, and how to read the right side."""
    readers: list[tuple[dict[str, Any], str, _Read]] = [
        ({"ct": {"key": "status"}}, "in", _word("dnat", CtDnat())),
        ({"fib": {"result": "type", "flags": ["saddr"]}}, "==", _word("local", FibLocal())),
        ({"fib": {"result": "type", "flags": "saddr"}}, "==", _word("local", FibLocal())),
        (_payload("icmpv6", "type"), "==", lambda right: Icmpv6Types(_intervals(right))),
        ({"ct": {"key": "state"}}, "in", lambda right: _state(right, "in")),
        ({"ct": {"key": "state"}}, "!=", lambda right: _state(right, "!=")),
        ({"meta": {"key": "l4proto"}}, "==", lambda right: L4Proto(_protocols(right))),
        ({"meta": {"key": "l4proto"}}, "!=", lambda right: L4Proto(_protocols(right), negated=True)),
    ]
    flags: list[Any] = ["fin", "syn", "rst", "ack"]
    readers.extend(
        ({"&": [_payload("tcp", "flags"), mask]}, "!=", _word("syn", TcpNotSyn()))
        for mask in (flags, {"|": flags})
    )
    readers.extend((_payload(l4, "dport"), "==", partial(_dport, l4)) for l4 in ("tcp", "udp", "sctp"))
    for direction in ("iifname", "oifname"):
        readers.extend(
            ({"meta": {"key": direction}}, op, partial(_ifname, direction, op)) for op in ("==", "!=")
        )
    for family, word in _FIELDS.items():
        pair = {"concat": [_payload(word, side) for side in _SIDES]}
        readers.append((pair, "==", partial(_pair, family)))
        for side in _SIDES:
            readers.extend(
                (_payload(word, side), op, partial(_address, family, side, op)) for op in ("==", "!=")
            )
    return {(_canonical(left), op): read for left, op, read in readers}


def _word(word: str, found: Match) -> _Read:
    return lambda right: found if right == word else None


def _state(right: object, op: str) -> Match | None:
    return CtState(cast(CtStateName, right), op == "!=") if right in _STATES else None


def _dport(protocol: L4, right: object) -> Match:
    return DportIn(protocol, _intervals(right))


def _ifname(direction: Direction, op: str, right: object) -> Match:
    return IfnameInSet(direction, _set_name(right), op == "!=")


def _pair(family: Family, right: object) -> Match:
    return PairInSet(family, _set_name(right))


def _address(family: Family, side: Side, op: str, right: object) -> Match | None:
    negated = op == "!="
    match right:
        case str() if right.startswith("@"):
            return AddrInSet(family, side, _set_name(right), negated)
        case str():
            return AddrInPrefix(family, side, parse_address(family, right), BITS[family], negated)
        case {"prefix": {"addr": str(network), "len": int(length)}}:
            return AddrInPrefix(family, side, parse_address(family, network), length, negated)
        case _:
            return None


def _set_name(text: object) -> SetName:
    if not isinstance(text, str) or not text.startswith("@"):
        raise NotOurs(json.dumps(text))
    return SetName(text[1:])


def _members(right: object) -> list[object]:
    match right:
        case {"set": list(items)}:
            return items
        case {"set": item}:
            return [item]
        case _:
            return [right]


def _intervals(right: object) -> tuple[Interval, ...]:
    found: list[Interval] = []
    for item in _members(right):
        match item:
            case {"range": [low, high]}:
                found.append((_number(low), _number(high)))
            case _:
                found.append((_number(item), _number(item)))
    return tuple(sorted(found))


def _number(item: object) -> int:
    number = ICMPV6_TYPES.get(item, item) if isinstance(item, str) else item
    if not isinstance(number, int):
        raise NotOurs(json.dumps(item))
    return number


def _protocols(right: object) -> tuple[str, ...]:
    names: list[str] = []
    for item in _members(right):
        if not isinstance(item, int | str) or str(item).startswith("@"):
            raise NotOurs(json.dumps(item))
        names.append(_PROTOCOLS.get(item, str(item)))
    return tuple(names)


_READERS = _all_readers()
_VMAP_KEYS: dict[str, tuple[Family, Side]] = {
    _canonical(_payload(word, side)): (family, side) for family, word in _FIELDS.items() for side in _SIDES
}
