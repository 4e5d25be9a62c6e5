"""Syntax tree → commands in libnftables JSON, to the same effect as the script of `printer.print_replace`.

The words are those of libnftables-json(5), in the spelling that nft 1.0.6 and later read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import assert_never

from policyd_compiler.nft.ast import (
    Accept,
    Action,
    Chain,
    Continue,
    CounterRef,
    Drop,
    Goto,
    Jump,
    Limit,
    Log,
    Reject,
    Return,
    Rule,
    Set,
    Statement,
    Table,
    Verdict,
    VerdictMap,
    Vmap,
)
from policyd_compiler.nft.keys import Json, key_json
from policyd_compiler.nft.matches import left_json, match_json


def print_replace_json(table: Table) -> str:
    """The commands that put `table` in the place of whatever table of that name there is, one to a line.

    And what is next to it.
    """
    commands: list[Json] = [{"metainfo": {"json_schema_version": 1}}, *_commands(table)]
    if table.bridge is not None:
        commands.extend(_commands(table.bridge))
    return '{"nftables": [\n' + ",\n".join(map(json.dumps, commands)) + "\n]}\n"


def _commands(table: Table) -> Iterator[Json]:
    name: dict[str, Json] = {"family": table.family, "name": table.name}
    comment: dict[str, Json] = {"comment": table.comment} if table.comment else {}
    yield _add("table", name)
    yield {"delete": {"table": name}}
    yield _add("table", {**name, **comment})
    place: dict[str, Json] = {"family": table.family, "table": table.name}
    yield from (_add("counter", {**place, "name": counter.name}) for counter in table.counters)
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
    words: list[Json] = [*part.key.kinds]
    out: dict[str, Json] = {"name": part.name, "type": words if len(words) > 1 else words[0]}
    if part.size:
        out["size"] = part.size
    if part.interval:
        out["flags"] = ["interval"]
    if isinstance(part, Set):
        elements: list[Json] = [key_json(part.key, key) for key in part.elements]
    else:
        elements = [[key_json(part.key, key), _verdict(verdict)] for key, verdict in part.elements]
    if elements:
        out["elem"] = elements
    return out


def _rule(rule: Rule) -> dict[str, Json]:
    statements = map(_statement, rule.statements)
    expressions: list[Json] = [*map(match_json, rule.matches), *statements, _action(rule.action)]
    comment: dict[str, Json] = {"comment": rule.comment} if rule.comment else {}
    return {"expr": expressions, **comment}


def _statement(statement: Statement) -> Json:
    match statement:
        case CounterRef(name):
            return {"counter": name}
        case Log(prefix, group, snaplen, threshold):
            log: dict[str, Json] = {"prefix": prefix} if prefix else {}
            log |= {} if group is None else {"group": group}
            log |= {"snaplen": snaplen} if snaplen else {}
            log |= {"queue-threshold": threshold} if threshold else {}
            return {"log": log or None}
        case Limit(rate, per, burst, over):
            limit: dict[str, Json] = {"rate": rate, "burst": burst, "per": per}
            return {"limit": {**limit, "inv": True} if over else limit}
        case _:
            assert_never(statement)


def _action(action: Action) -> Json:
    match action:
        case Vmap(field, name):
            return {"vmap": {"key": left_json(field.row.text), "data": f"@{name}"}}
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
        case Continue():
            return {"continue": None}
        case Jump(chain):
            return {"jump": {"target": chain}}
        case Goto(chain):
            return {"goto": {"target": chain}}
        case Reject():
            raise ValueError("no map can hold reject")
        case _:
            assert_never(verdict)
