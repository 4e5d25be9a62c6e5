"""The text of one rule → the rule: the inverse of the printer's `print_rule`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import assert_never, get_args

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
from policyd_compiler.nft.expressions import (
    FIELDS,
    Field,
    InSet,
    Keys,
    Match,
    Numbers,
    Prefix,
    Range,
    Right,
    Word,
    Words,
)
from policyd_compiler.nft.keys import Interval, SetName, parse_prefix, parse_value
from policyd_compiler.nft.tokens import Tokens, words_of

#: By the first word, longer texts first: `ip saddr` is also the beginning of `ip saddr . ip daddr`.
_FIELDS: dict[str, list[tuple[tuple[str, ...], Field]]] = {}
for _text in sorted(FIELDS, key=len, reverse=True):
    _words = tuple(words_of(_text))
    _FIELDS.setdefault(_words[0], []).append((_words, FIELDS[_text]))


def parse_rule(tokens: Tokens) -> Rule:
    """Read a rule; the end of its statement stays."""
    matches: list[Match] = []
    statements: list[Statement] = []
    action: Action | None = None
    while action is None:
        if tokens.peek() in _STATEMENTS:
            statements.append(_STATEMENTS[tokens.peek()](tokens))
        elif statements or tokens.peek() not in _FIELDS:
            action = _vmap(tokens) if tokens.peek() in _FIELDS else parse_verdict(tokens)
        elif isinstance(part := _match(tokens), Match):
            matches.append(part)
        else:
            action = part
    comment = unquote(tokens) if tokens.accept("comment") else ""
    return Rule(action, tuple(matches), comment, tuple(statements))


def parse_verdict(tokens: Tokens) -> Verdict:
    """Read a verdict."""
    match tokens.peek():
        case "accept":
            tokens.take()
            return Accept()
        case "drop":
            tokens.take()
            return Drop()
        case "return":
            tokens.take()
            return Return()
        case "continue":
            tokens.take()
            return Continue()
        case "reject":
            tokens.expect("reject", "with", "icmpx", "admin-prohibited")
            return Reject()
        case "jump":
            tokens.take()
            return Jump(ChainName(word(tokens)))
        case "goto":
            tokens.take()
            return Goto(ChainName(word(tokens)))
        case other:
            raise tokens.error(f"expected a match or a verdict, not {other!r}")


def word(tokens: Tokens) -> str:
    """Read a name: anything but punctuation."""
    if tokens.peek() in ("{", "}", ";", ",", "\n") or tokens.peek().startswith('"'):
        raise tokens.error(f"expected a name, not {tokens.peek()!r}")
    return tokens.take()


def unquote(tokens: Tokens) -> str:
    """Read a quoted string."""
    if not tokens.peek().startswith('"'):
        raise tokens.error(f"expected a string, not {tokens.peek()!r}")
    return tokens.take()[1:-1]


def number(tokens: Tokens, text: str) -> int:
    """A decimal number."""
    # Nothing that nft counts has more digits; of thousands Python makes no number at all.
    if len(text) > 20 or not (text.isascii() and text.removeprefix("-").isdigit()):
        raise tokens.error(f"expected a number, not {text[:40]!r}")
    return int(text)


def _match(tokens: Tokens) -> Match | Vmap:
    field = _field(tokens)
    if field.key_type is not None and tokens.accept("vmap"):
        return Vmap(field, _reference(tokens))
    negated = tokens.accept("!=")
    return Match(field, _right(tokens, field), negated)


def _vmap(tokens: Tokens) -> Vmap:
    """Behind a statement: a match would be asked before it is done."""
    found = _match(tokens)
    if isinstance(found, Match):
        raise tokens.error(f"a match after a statement: {found.field.row.text}")
    return found


def _counter(tokens: Tokens) -> Statement:
    tokens.expect("counter", "name")
    return CounterRef(CounterName(unquote(tokens)))


def _log(tokens: Tokens) -> Statement:
    tokens.expect("log")
    prefix = unquote(tokens) if tokens.accept("prefix") else ""
    group = number(tokens, word(tokens)) if tokens.accept("group") else None
    snaplen = number(tokens, word(tokens)) if tokens.accept("snaplen") else 0
    threshold = number(tokens, word(tokens)) if tokens.accept("queue-threshold") else 0
    return Log(prefix, group, snaplen, threshold)


def _limit(tokens: Tokens) -> Statement:
    tokens.expect("limit", "rate")
    over = tokens.accept("over")
    rate, _, per = word(tokens).partition("/")
    unit = next((unit for unit in _UNITS if unit == per), None)
    if unit is None:
        raise tokens.error(f"no unit of a rate: {per[:40]!r}")
    tokens.expect("burst")
    burst = number(tokens, word(tokens))
    tokens.expect("packets")
    return Limit(number(tokens, rate), unit, burst, over)


_UNITS: tuple[LimitUnit, ...] = get_args(LimitUnit)
_STATEMENTS: Mapping[str, Callable[[Tokens], Statement]] = {
    "counter": _counter,
    "log": _log,
    "limit": _limit,
}


def _field(tokens: Tokens) -> Field:
    for words, field in _FIELDS[tokens.peek()]:
        if tokens.accept_all(words):
            return field
    raise tokens.error(f"unsupported expression: {tokens.peek()!r}")


def _right(tokens: Tokens, field: Field) -> Right:
    match field.row.kind:
        case Words(words):
            if tokens.peek() not in words:
                raise tokens.error(f"no value of {field.row.text}: {tokens.peek()!r}")
            return Word(tokens.take())
        case Range(highest):
            return Numbers(_intervals(tokens, highest))
        case Keys(key_type):
            if tokens.peek().startswith("@") or len(key_type.kinds) > 1:
                return InSet(_reference(tokens))
            kind = key_type.kinds[0]
            try:
                right = _single(kind, tokens.peek())
            except ValueError as error:
                raise tokens.error(str(error)) from None
            tokens.take()
            return right
        case kind:
            assert_never(kind)


def _single(kind: str, text: str) -> Right:
    if kind == "ifname":
        return Word(str(parse_value(kind, text)))
    return Prefix(*parse_prefix(kind, text))


def _reference(tokens: Tokens) -> SetName:
    if not tokens.peek().startswith("@"):
        raise tokens.error(f"expected the name of a set, not {tokens.peek()!r}")
    return SetName(tokens.take()[1:])


def _choice(tokens: Tokens) -> list[str]:
    if not tokens.accept("{"):
        return [word(tokens)]
    found: list[str] = []
    while not tokens.accept("}"):
        found.append(word(tokens))
        if tokens.peek() != "}":
            tokens.expect(",")
    return found


def _intervals(tokens: Tokens, highest: int) -> tuple[Interval, ...]:
    found: list[Interval] = []
    for text in _choice(tokens):
        low, dash, high = text.partition("-")
        bounds = number(tokens, low), number(tokens, high if dash else low)
        if not 0 <= bounds[0] <= bounds[1] <= highest:
            raise tokens.error(f"no range within 0-{highest}: {text}")
        found.append(bounds)
    return tuple(found)
