"""Which verdict lets more pass than another: held to all packets that can tell them apart."""

from __future__ import annotations

from itertools import product

import pytest

from policyd_compiler.allowance import Allowances, Effect
from policyd_compiler.nft.ast import (
    Accept,
    Chain,
    ChainName,
    Continue,
    CounterName,
    CounterRef,
    Drop,
    Goto,
    Jump,
    Limit,
    Reject,
    Return,
    Rule,
    Verdict,
)
from policyd_compiler.nft.expressions import Field, Match, Numbers, numbers

TCP, UDP = Match(Field.TCP_DPORT, numbers(80)), Match(Field.UDP_DPORT, numbers(80))
WIDE = Match(Field.TCP_DPORT, Numbers(((80, 90),)))
OTHER = Match(Field.META_L4PROTO, numbers(6, 17, 132), negated=True)
REJECT = Rule(Goto(ChainName("reject")))
COUNTED = Rule(Continue(), (TCP,), statements=(CounterRef(CounterName("c")),))
LIMITED = Rule(Drop(), statements=(Limit(1, "second"),))


def passes(*matches: Match) -> tuple[Rule, ...]:
    return (*(Rule(Return(), (match,)) for match in matches), Rule(Drop()))


CHAINS: dict[str, tuple[Rule, ...]] = {
    "reject": (Rule(Reject()),),
    "none": (COUNTED, REJECT),
    "tcp": passes(TCP),
    "tcp-rejecting": (COUNTED, Rule(Return(), (TCP,)), REJECT),
    "tcp-udp": passes(TCP, UDP),
    "wide": passes(WIDE),
    "other": passes(OTHER),
    "all": passes(WIDE, UDP, OTHER),
    "limited": (LIMITED, *passes(TCP)),
    "but-tcp": (Rule(Drop(), (TCP,)), Rule(Return())),
    "open": (Rule(Return(), (TCP,)),),
    "accepting": (Rule(Accept(), (TCP,)), Rule(Drop())),
}
ALLOWANCES = Allowances({ChainName(n): Chain(ChainName(n), rules) for n, rules in CHAINS.items()})
#: What is let pass, of four kinds of packets; None: not known.
KNOWN: dict[Verdict, str] = {
    Return(): "twuo*",
    Drop(): "",
    Reject(): "",
    Goto(ChainName("none")): "",
    Goto(ChainName("tcp")): "t",
    Goto(ChainName("tcp-rejecting")): "t",
    Goto(ChainName("tcp-udp")): "tu",
    Goto(ChainName("wide")): "tw",
    Goto(ChainName("other")): "o",
    Goto(ChainName("all")): "twuo",
}
UNKNOWN: tuple[Verdict, ...] = (
    *(Goto(ChainName(name)) for name in ("limited", "but-tcp", "open", "accepting", "missing")),
    Jump(ChainName("tcp")),
    Accept(),
)


def test_verdicts_are_compared_by_what_they_let_pass() -> None:
    for (few, some), (many, more) in product(KNOWN.items(), repeat=2):
        assert ALLOWANCES.within(few, many) == (set(some) <= set(more)), (few, many)
        assert ALLOWANCES.effect([(few, many)]) == Effect(
            not set(some) <= set(more), not set(more) <= set(some)
        )


@pytest.mark.parametrize("verdict", UNKNOWN)
def test_of_what_is_not_known_only_the_ends_are_certain(verdict: Verdict) -> None:
    assert ALLOWANCES.within(verdict, verdict)
    assert ALLOWANCES.within(Drop(), verdict)
    assert ALLOWANCES.within(verdict, Return())
    assert not any(ALLOWANCES.within(verdict, other) for other in KNOWN if other != Return())
    assert not any(ALLOWANCES.within(other, verdict) for other, some in KNOWN.items() if some)


def test_what_is_between_two_verdicts_is_for_no_packet_a_third() -> None:
    verdicts = list(KNOWN.items())
    for (one, some), (before, old), (after, new) in product(verdicts, repeat=3):
        if ALLOWANCES.between(one, before, after):
            assert set(old) & set(new) <= set(some) <= set(old) | set(new)
    tcp, both, wide = (Goto(ChainName(name)) for name in ("tcp", "tcp-udp", "wide"))
    assert ALLOWANCES.between(tcp, Drop(), both)
    assert ALLOWANCES.between(tcp, both, Drop())
    assert not ALLOWANCES.between(wide, Drop(), both)
    assert not ALLOWANCES.between(Drop(), tcp, both)
