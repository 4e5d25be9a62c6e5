"""Rules of `nft -j list table` → ours. What our syntax tree cannot say is not ours."""

from __future__ import annotations

import json
from typing import Any

from policyd_compiler.nft.ast import (
    Accept,
    Action,
    ChainName,
    Drop,
    Goto,
    Jump,
    Reject,
    Return,
    Rule,
    Verdict,
    Vmap,
)
from policyd_compiler.nft.expressions import Match
from policyd_compiler.nft.keys import SetName
from policyd_compiler.nft.matches import read_left_json, read_match_json


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
    match value:
        case {"reject": {"type": "icmpx", "expr": "admin-prohibited"} as how} if (
            len(value) == 1 and len(how) == 2
        ):
            return Reject()
        case {"vmap": {"key": key, "data": str(data), **more}, **rest} if not more and not rest:
            field = read_left_json(key)
            if field is None or field.key_type is None or not data.startswith("@"):
                raise NotOurs(json.dumps(value))
            return Vmap(field, SetName(data[1:]))
        case _:
            return read_verdict(value)


def _read_match(value: dict[str, Any]) -> Match:
    found = read_match_json(value)
    if found is None:
        raise NotOurs(json.dumps(value))
    return found
