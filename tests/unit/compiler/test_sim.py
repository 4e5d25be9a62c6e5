"""What the simulator does with rules that do more than decide, and with elements that change meanwhile."""

from __future__ import annotations

from dataclasses import replace

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
    Set,
    Table,
    Verdict,
    VerdictMap,
    Vmap,
)
from policyd_compiler.nft.expressions import Field, InSet, Match
from policyd_compiler.nft.keys import KeyType, SetName
from policyd_compiler.sim import Packet, Simulator, evaluate

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


EARLY, LATE = SetName("early"), SetName("late")
ASKING = Chain(
    ChainName("forward"),
    (
        Rule(Accept(), (Match(Field.IP_SADDR, InSet(EARLY)),)),
        Rule(Vmap(Field.IP_SADDR, LATE)),
        Rule(Accept(), (Match(Field.IP6_SADDR, InSet(EARLY)),)),
    ),
    Hook("forward", 0),
)


def asked(early: tuple[int, ...], late: tuple[tuple[int, Verdict], ...]) -> Simulator:
    sets, maps = (Set(EARLY, KeyType.V4, early),), (VerdictMap(LATE, KeyType.V4, late),)
    return Simulator(Table("t", sets=sets, maps=maps, chains=(ASKING,)))


def test_a_transaction_meets_a_packet_between_two_look_ups() -> None:
    """The look-ups before it find what was, the others what is; a field that is not there is not asked."""
    before, after = asked((), ((1, Drop()),)), asked((1,), ())
    found = [before.evaluate(PACKET, after, switch) for switch in range(4)]
    assert [(trace.verdict, trace.lookups) for trace in found] == [
        ("accept", 1),
        ("accept", 2),  # by nobody: the early one no more, the late one not yet
        ("drop", 2),
        ("drop", 2),
    ]
    assert before.evaluate(PACKET) == found[2]
    assert after.evaluate(PACKET) == found[0]


def test_what_is_deleted_meanwhile_is_empty_and_its_rules_stay() -> None:
    before = asked((1,), ((1, Drop()),))
    nothing = Simulator(Table("t"))
    assert before.evaluate(PACKET, nothing, 0).verdict == "accept"
    assert before.evaluate(replace(PACKET, saddr=3), nothing, 0).lookups == 2
    assert before.evaluate(PACKET, nothing, 1).steps == ("forward: ip saddr @early accept",)
    assert nothing.evaluate(PACKET, before, 0).lookups == 0
