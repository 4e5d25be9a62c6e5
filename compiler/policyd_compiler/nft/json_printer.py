"""Syntax tree → commands in libnftables JSON, to the same effect as the script of `printer.print_replace`.

The words are those of libnftables-json(5), in the spelling that nft 1.0.6 and later read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TypeAlias, assert_never

from policyd_compiler.addr import BITS, cover_prefixes, print_address
from policyd_compiler.nft.ast import (
    PROTOCOL_NUMBERS,
    Accept,
    Action,
    AddrInPrefix,
    AddrInSet,
    AddrVmap,
    Chain,
    CtDnat,
    CtState,
    DportIn,
    Drop,
    Family,
    FibLocal,
    Goto,
    Icmpv6Types,
    IfnameInSet,
    Interval,
    Jump,
    Key,
    KeyType,
    L4Proto,
    Match,
    PairInSet,
    Reject,
    Return,
    Rule,
    Set,
    Table,
    TcpNotSyn,
    Verdict,
    VerdictMap,
)

Json: TypeAlias = dict[str, "Json"] | list["Json"] | str | int | None

_FIELDS: dict[Family, str] = {4: "ip", 6: "ip6"}
_FAMILY: dict[KeyType, Family] = {KeyType.V4: 4, KeyType.V6: 6, KeyType.V4_PAIR: 4, KeyType.V6_PAIR: 6}


def print_replace_json(table: Table) -> str:
    """The commands that put `table` in the place of whatever table of that name there is, one to a line."""
    commands: list[Json] = [{"metainfo": {"json_schema_version": 1}}, *_commands(table)]
    return '{"nftables": [\n' + ",\n".join(map(json.dumps, commands)) + "\n]}\n"


def _commands(table: Table) -> Iterator[Json]:
    name: dict[str, Json] = {"family": "inet", "name": table.name}
    comment: dict[str, Json] = {"comment": table.comment} if table.comment else {}
    yield _add("table", name)
    yield {"delete": {"table": name}}
    yield _add("table", {**name, **comment})
    place: dict[str, Json] = {"family": "inet", "table": table.name}
    # A chain must be known before a map element or a rule names it.
    for chain in table.chains:
        yield _add("chain", {**place, **_chain(chain)})
    yield from (_add("set", {**place, **_set(part)}) for part in table.sets)
    yield from (_add("map", {**place, **_set(part), "map": "verdict"}) for part in table.maps)
    for chain in table.chains:
        for rule in chain.rules:
            yield _add("rule", {**place, "chain": chain.name, **_rule(rule)})


def _add(kind: str, value: dict[str, Json]) -> Json:
    return {"add": {kind: value}}


def _chain(chain: Chain) -> dict[str, Json]:
    if chain.hook is None:
        return {"name": chain.name}
    hook = chain.hook
    return {
        "name": chain.name,
        "type": "filter",
        "hook": hook.hook,
        "prio": hook.priority,
        "policy": "accept",
    }


def _set(part: Set | VerdictMap) -> dict[str, Json]:
    words: list[Json] = [*part.key.value.split(" . ")]
    out: dict[str, Json] = {"name": part.name, "type": words if len(words) > 1 else words[0]}
    if part.size:
        out["size"] = part.size
    if part.interval:
        out["flags"] = ["interval"]
    if isinstance(part, Set):
        elements: list[Json] = [_key(part.key, key) for key in part.elements]
    else:
        elements = [[_key(part.key, key), _verdict(verdict)] for key, verdict in part.elements]
    if elements:
        out["elem"] = elements
    return out


def _key(kind: KeyType, key: Key) -> Json:
    if isinstance(key, str):
        return key
    family = _FAMILY[kind]
    if isinstance(key, int):
        return print_address(family, key)
    low, high = key
    if kind in (KeyType.V4_PAIR, KeyType.V6_PAIR):
        return {"concat": [print_address(family, low), print_address(family, high)]}
    if low == high:
        return print_address(family, low)
    prefixes = cover_prefixes(family, key)
    if len(prefixes) == 1:
        return _prefix(family, *prefixes[0])
    return {"range": [print_address(family, low), print_address(family, high)]}


def _prefix(family: Family, network: int, length: int) -> Json:
    return {"prefix": {"addr": print_address(family, network), "len": length}}


def _rule(rule: Rule) -> dict[str, Json]:
    expressions: list[Json] = [*map(_match, rule.matches), _action(rule.action)]
    comment: dict[str, Json] = {"comment": rule.comment} if rule.comment else {}
    return {"expr": expressions, **comment}


def _action(action: Action) -> Json:
    match action:
        case AddrVmap(family, side, name):
            return {"vmap": {"key": _payload(_FIELDS[family], side), "data": f"@{name}"}}
        case Reject():
            return {"reject": {"type": "icmpx", "expr": "admin-prohibited"}}
        case _:
            return _verdict(action)


def _verdict(verdict: Verdict) -> Json:
    match verdict:
        case Accept():
            return {"accept": None}
        case Drop():
            return {"drop": None}
        case Return():
            return {"return": None}
        case Jump(chain):
            return {"jump": {"target": chain}}
        case Goto(chain):
            return {"goto": {"target": chain}}
        case Reject():
            raise ValueError("no map can hold reject")
        case _:
            assert_never(verdict)


def _match(match: Match) -> Json:  # noqa: C901, PLR0912 one case for each kind of match
    match match:
        case CtState(state, negated):
            return _test({"ct": {"key": "state"}}, "!=" if negated else "in", state)
        case CtDnat():
            return _test({"ct": {"key": "status"}}, "in", "dnat")
        case TcpNotSyn():
            flags: list[Json] = ["fin", "syn", "rst", "ack"]
            return _test({"&": [_payload("tcp", "flags"), flags]}, "!=", "syn")
        case FibLocal():
            return _test({"fib": {"result": "type", "flags": ["saddr"]}}, "==", "local")
        case L4Proto(protocols, negated):
            words: list[Json] = [PROTOCOL_NUMBERS.get(word) or int(word) for word in protocols]
            return _test({"meta": {"key": "l4proto"}}, _equal(negated), _choice(words))
        case Icmpv6Types(types):
            return _test(_payload("icmpv6", "type"), "==", _choice(_numbers(types)))
        case DportIn(protocol, ports):
            return _test(_payload(protocol, "dport"), "==", _choice(_numbers(ports)))
        case AddrInSet(family, side, name, negated):
            return _test(_payload(_FIELDS[family], side), _equal(negated), f"@{name}")
        case AddrInPrefix(family, side, network, length, negated):
            whole = length == BITS[family]
            right = print_address(family, network) if whole else _prefix(family, network, length)
            return _test(_payload(_FIELDS[family], side), _equal(negated), right)
        case PairInSet(family, name):
            pair: list[Json] = [_payload(_FIELDS[family], side) for side in ("saddr", "daddr")]
            return _test({"concat": pair}, "==", f"@{name}")
        case IfnameInSet(direction, name, negated):
            return _test({"meta": {"key": direction}}, _equal(negated), f"@{name}")
        case _:
            assert_never(match)


def _test(left: Json, operator: str, right: Json) -> Json:
    return {"match": {"op": operator, "left": left, "right": right}}


def _payload(protocol: str, field: str) -> Json:
    return {"payload": {"protocol": protocol, "field": field}}


def _equal(negated: bool) -> str:  # noqa: FBT001 the field of a match
    return "!=" if negated else "=="


def _choice(values: list[Json]) -> Json:
    return values[0] if len(values) == 1 else {"set": values}


def _numbers(intervals: tuple[Interval, ...]) -> list[Json]:
    return [low if low == high else {"range": [low, high]} for low, high in intervals]
