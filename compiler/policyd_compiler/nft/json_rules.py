"""Rules of `nft -j list table` → ours. What our syntax tree cannot say is not ours."""

from __future__ import annotations

import json
from typing import Any, get_args

from policyd_compiler.nft.ast import (
    Accept,
    Action,
    ChainName,
    Continue,
    CounterName,
    CounterRef,
    Drop,
    Goto,
    Jump,
    Limit,
    LimitUnit,
    Log,
    Reject,
    Return,
    Rule,
    Statement,
    Verdict,
    Vmap,
)
from policyd_compiler.nft.expressions import Match
from policyd_compiler.nft.keys import SetName
from policyd_compiler.nft.matches import read_left_json, read_match_json


class Unsupported(Exception):
    """Something that policyd does not write."""


def reject_unknown_keys(value: dict[str, Any], allowed: set[str]) -> None:
    """Refuse attributes that we do not know: they may have an effect."""
    if unknown := sorted(set(value) - allowed):
        raise Unsupported(", ".join(f"{key} {json.dumps(value[key])}" for key in unknown))


def read_rule(expressions: list[dict[str, Any]], comment: str) -> Rule:
    """A rule from its list of expressions: matches, then statements, and one verdict at the end."""
    if not expressions:
        raise Unsupported("a rule without a verdict")
    *before, last = expressions
    count = next((at for at, expression in enumerate(before) if "match" not in expression), len(before))
    matches = tuple(map(_read_match, before[:count]))
    return Rule(_read_action(last), matches, comment, tuple(map(_read_statement, before[count:])))


def read_verdict(value: dict[str, Any]) -> Verdict:
    """A verdict of a rule or a map's element."""
    match value:
        case {"accept": None} if len(value) == 1:
            return Accept()
        case {"drop": None} if len(value) == 1:
            return Drop()
        case {"return": None} if len(value) == 1:
            return Return()
        case {"continue": None} if len(value) == 1:
            return Continue()
        case {"jump": {"target": str(chain)}} if len(value) == 1:
            return Jump(ChainName(chain))
        case {"goto": {"target": str(chain)}} if len(value) == 1:
            return Goto(ChainName(chain))
        case _:
            raise Unsupported(json.dumps(value))


def _read_action(value: dict[str, Any]) -> Action:
    match value:
        case {"reject": {"type": "icmpx", "expr": "admin-prohibited"} as how} if (
            len(value) == 1 and len(how) == 2
        ):
            return Reject()
        case {"vmap": {"key": key, "data": str(data), **more}, **rest} if not more and not rest:
            field = read_left_json(key)
            if field is None or field.key_type is None or not data.startswith("@"):
                raise Unsupported(json.dumps(value))
            return Vmap(field, SetName(data[1:]))
        case _:
            return read_verdict(value)


def _read_statement(value: dict[str, Any]) -> Statement:
    match value:
        case {"counter": str(name), **rest} if not rest:
            return CounterRef(CounterName(name))
        case {"log": None, **rest} if not rest:
            return Log()
        case {"log": dict(log), **rest} if not rest:
            reject_unknown_keys(log, {"prefix", "group", "snaplen", "queue-threshold"})
            group = log.get("group")
            sizes = (int(log.get(key, 0)) for key in ("snaplen", "queue-threshold"))
            return Log(str(log.get("prefix", "")), None if group is None else int(group), *sizes)
        case {"limit": dict(limit), **rest} if not rest and limit.get("per") in get_args(LimitUnit):
            reject_unknown_keys(limit, {"rate", "burst", "per", "inv"})
            return Limit(int(limit["rate"]), limit["per"], int(limit["burst"]), limit.get("inv") is True)
        case _:
            raise Unsupported(json.dumps(value))


def _read_match(value: dict[str, Any]) -> Match:
    found = read_match_json(value)
    if found is None:
        raise Unsupported(json.dumps(value))
    return found
