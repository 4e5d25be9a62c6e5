"""The text of one rule → the rule: the inverse of the printer's `print_rule`."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from policyd_compiler.addr import BITS, parse_address
from policyd_compiler.nft.ast import (
    L4,
    PROTOCOL_NUMBERS,
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
from policyd_compiler.nft.tokens import Tokens

_FAMILIES: dict[str, Family] = {"ip": 4, "ip6": 6}
_STATES = ("established", "related", "new", "invalid", "untracked")


def parse_rule(tokens: Tokens) -> Rule:
    """Read a rule; the end of its statement stays."""
    matches: list[Match] = []
    action: Action | None = None
    while action is None:
        part = _match(tokens) if tokens.peek() in _MATCHES else parse_verdict(tokens)
        if isinstance(part, Verdict | AddrVmap):
            action = part
        else:
            matches.append(part)
    comment = unquote(tokens) if tokens.accept("comment") else ""
    return Rule(action, tuple(matches), comment)


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


def address(tokens: Tokens, family: Family, text: str) -> int:
    """An address of this family."""
    try:
        return parse_address(family, text)
    except ValueError as error:
        raise tokens.error(str(error)) from None


def _match(tokens: Tokens) -> Match | AddrVmap:
    return _MATCHES[tokens.peek()](tokens)


_PROTOCOL_NAMES = {str(number): name for name, number in PROTOCOL_NUMBERS.items()}


def _ct(tokens: Tokens) -> Match:
    tokens.expect("ct")
    if tokens.accept("status"):
        tokens.expect("dnat")
        return CtDnat()
    tokens.expect("state")
    negated = tokens.accept("!=")
    if tokens.peek() not in _STATES:
        raise tokens.error(f"no state of a connection: {tokens.peek()!r}")
    return CtState(cast(CtStateName, tokens.take()), negated)


def _fib(tokens: Tokens) -> Match:
    tokens.expect("fib", "saddr", "type", "local")
    return FibLocal()


def _meta(tokens: Tokens) -> Match:
    tokens.expect("meta", "l4proto")
    negated = tokens.accept("!=")
    return L4Proto(tuple(_PROTOCOL_NAMES.get(word, word) for word in _choice(tokens)), negated)


def _icmpv6(tokens: Tokens) -> Match:
    tokens.expect("icmpv6", "type")
    return Icmpv6Types(_intervals(tokens, 255))


def _l4(tokens: Tokens) -> Match:
    protocol = tokens.take()
    if protocol == "tcp" and tokens.accept("flags"):
        tokens.expect("&", "(fin", "|", "syn", "|", "rst", "|", "ack)", "!=", "syn")
        return TcpNotSyn()
    tokens.expect("dport")
    return DportIn(cast(L4, protocol), _intervals(tokens, 65535))


def _interface(tokens: Tokens) -> Match:
    direction = cast(Direction, tokens.take())
    negated = tokens.accept("!=")
    return IfnameInSet(direction, _reference(tokens), negated)


def _ip(tokens: Tokens) -> Match | AddrVmap:
    field = tokens.take()
    family = _FAMILIES[field]
    if tokens.peek() not in ("saddr", "daddr"):
        raise tokens.error(f"expected saddr or daddr, not {tokens.peek()!r}")
    side = cast(Side, tokens.take())
    if tokens.accept("vmap"):
        return AddrVmap(family, side, _reference(tokens))
    if side == "saddr" and tokens.accept("."):
        tokens.expect(field, "daddr")
        return PairInSet(family, _reference(tokens))
    negated = tokens.accept("!=")
    if tokens.peek().startswith("@"):
        return AddrInSet(family, side, _reference(tokens), negated)
    network, slash, length = tokens.peek().partition("/")
    bits = number(tokens, length) if slash else BITS[family]
    found = AddrInPrefix(family, side, address(tokens, family, network), bits, negated)
    tokens.take()
    return found


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


_MATCHES: dict[str, Callable[[Tokens], Match | AddrVmap]] = {
    "ct": _ct,
    "fib": _fib,
    "meta": _meta,
    "icmpv6": _icmpv6,
    "tcp": _l4,
    "udp": _l4,
    "sctp": _l4,
    "iifname": _interface,
    "oifname": _interface,
    "ip": _ip,
    "ip6": _ip,
}
