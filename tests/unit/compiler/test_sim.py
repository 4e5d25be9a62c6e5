"""What the simulator does with rules that do more than decide."""

from __future__ import annotations

from policyd_compiler.nft.ast import (
    Accept,
    Chain,
    ChainName,
    Continue,
    CounterName,
    CounterRef,
    Drop,
    Hook,
    Limit,
    Log,
    Rule,
    Table,
)
from policyd_compiler.sim import Packet, evaluate

PACKET = Packet(4, 1, 2, "tcp", 80)


def judged(*rules: Rule) -> tuple[str, tuple[str, ...]]:
    trace = evaluate(Table("t", chains=(Chain(ChainName("forward"), rules, Hook("forward", 0)),)), PACKET)
    return trace.verdict, trace.steps


def test_counters_and_logs_decide_nothing_and_are_in_the_trace() -> None:
    counted = Rule(Continue(), statements=(CounterRef(CounterName("hits")), Log("seen: ", 7)))
    assert judged(counted, Rule(Drop(), statements=(Log("denied: "),))) == (
        "drop",
        (
            'forward: counter name "hits" log prefix "seen: " group 7 continue',
            'forward: log prefix "denied: " drop',
        ),
    )
    assert judged(counted)[0] == "accept"


def test_one_packet_is_within_every_limit() -> None:
    within, beyond = Limit(1, "hour", burst=1), Limit(1, "hour", burst=1, over=True)
    assert judged(Rule(Drop(), statements=(within,)))[0] == "drop"
    assert judged(Rule(Drop(), statements=(beyond,)), Rule(Accept())) == ("accept", ("forward: accept",))
