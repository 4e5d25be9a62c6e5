"""What may be changed in place: what is looked up in turn for one end of a packet, and by nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from policyd_compiler.nft.ast import (
    Accept,
    ChainName,
    Continue,
    CounterName,
    CounterRef,
    Drop,
    Goto,
    Jump,
    Limit,
    Log,
    Return,
    Rule,
    Table,
    Vmap,
)
from policyd_compiler.nft.expressions import Field, InSet, Match, Word
from policyd_compiler.nft.keys import KeyType, SetName
from policyd_compiler.walks import Ask, read_walks
from tests.strategies.judged import BASE, VERDICTS, Form, judged, names

A, B = 0, 1
WEB, TLS = 2, 3
FORM = Form(own=WEB, shared=((0, TLS),), spoofed=True, ranges=WEB)
TABLE = judged(4, {("in", A): FORM, ("out", A): FORM, ("in", B): FORM}, {name: {} for name in names()})
JUDGE, OWN, SHARED = ChainName("in-dport-0"), SetName("own-in-0-set"), SetName("shared-0-set")
LOCAL = Match(Field.FIB_SADDR_TYPE, Word("local"))


def changed(of: ChainName, change: Callable[[tuple[Rule, ...]], tuple[Rule, ...]]) -> Table:
    """The table, with other rules in a chain."""
    chains = (replace(c, rules=change(c.rules)) if c.name == of else c for c in TABLE.chains)
    return replace(TABLE, chains=tuple(chains))


def before(rule: Rule) -> Callable[[tuple[Rule, ...]], tuple[Rule, ...]]:
    return lambda rules: (rule, *rules)


def of_saddr(rule: Rule) -> Rule:
    """The same question about the other end of the packet."""
    return replace(rule, matches=tuple(replace(m, field=Field.IP_DADDR) for m in rule.matches))


def test_what_a_packet_comes_by_in_which_order() -> None:
    walks = read_walks(TABLE)
    [forward] = walks.roads[KeyType.V4]
    assert [(stage.side, sorted(stage.judges)) for stage in forward] == [
        ("saddr", [BASE[4] + A, BASE[4] + B]),  # what answers: the sender's ingress
        ("daddr", [BASE[4] + A]),
        ("saddr", [BASE[4] + A]),  # what asks: the sender's egress
        ("daddr", [BASE[4] + A, BASE[4] + B]),
    ]
    assert walks.roads[KeyType.V6] == ((),) or not any(walks.roads[KeyType.V6])
    judge = forward[3].judges[BASE[4] + A]
    assert judge.name == JUDGE
    assert judge.asks == (
        Ask(OWN, VERDICTS["dport"][WEB]),
        Ask(SHARED, VERDICTS["dport"][TLS]),
        Ask(None, Drop()),
        Ask(SetName("ranges"), VERDICTS["dport"][WEB]),
    )
    assert judge.rest == Drop()
    assert walks.later == {
        forward[1].judges[BASE[4] + A]: {judge},
        forward[0].judges[BASE[4] + A]: {forward[2].judges[BASE[4] + A]},
    }
    assert walks.ends == {KeyType.V4: {BASE[4] + A, BASE[4] + B}, KeyType.V6: frozenset()}


def test_what_only_judges_ask_may_be_changed() -> None:
    walks = read_walks(TABLE)
    assert set(walks.askers) == {"own-in-0-set", "own-in-1-set", "own-out-0-set", "shared-0-set"}
    assert {judge.name for judge in walks.askers[OWN]} == {"in-dport-0", "in-sport-0"}
    assert len(walks.askers[SHARED]) == 6
    assert all(not part.elements for part in walks.declared.values())


def test_what_leads_to_no_chain_is_no_way() -> None:
    """A ruleset in between two may hold elements that go, of which the chain is gone already."""
    lost = (BASE[4] + 99, Goto(ChainName("gone")))
    maps = tuple(replace(part, elements=(*part.elements, lost)) for part in TABLE.maps)
    assert read_walks(replace(TABLE, maps=maps)).ends == read_walks(TABLE).ends


def test_what_counts_and_logs_decides_nothing() -> None:
    counted = Rule(
        Continue(), (LOCAL,), statements=(CounterRef(CounterName("c")), Limit(1, "second"), Log("x"))
    )
    walks = read_walks(changed(JUDGE, before(counted)))
    assert walks.askers.keys() == read_walks(TABLE).askers.keys()
    [judge] = [judge for judge in walks.askers[OWN] if judge.name == JUDGE]
    assert judge.asks == next(j for j in read_walks(TABLE).askers[OWN] if j.name == JUDGE).asks


ODD: Mapping[str, Table] = {
    "asks where it returns from": changed(JUDGE, before(Rule(Jump(ChainName("ports-80"))))),
    "asks within a limit": changed(JUDGE, before(Rule(Drop(), statements=(Limit(1, "second"),)))),
    "asks who is not in a set": changed(
        JUDGE, before(Rule(Drop(), (Match(Field.IP_SADDR, InSet(OWN), negated=True),)))
    ),
    "asks about the other end": changed(JUDGE, lambda rules: tuple(map(of_saddr, rules))),
    "asks on a condition": changed(JUDGE, before(Rule(Drop(), (LOCAL, Match(Field.IP_SADDR, InSet(OWN)))))),
    "asks two other things": changed(JUDGE, before(Rule(Return(), (LOCAL,)))),
    "counts whom a set has": changed(
        JUDGE,
        before(
            Rule(
                Continue(),
                (Match(Field.IP_SADDR, InSet(OWN)),),
                statements=(CounterRef(CounterName("c")),),
            )
        ),
    ),
    "leads to another judge": changed(
        JUDGE, lambda rules: (*rules[:-1], Rule(Goto(ChainName("in-dport-1"))))
    ),
    "is entered without a look-up": changed(ChainName("stray"), before(Rule(Jump(JUDGE)))),
    "is found by something else than an address": changed(
        ChainName("forward"), before(Rule(Vmap(Field.IIFNAME, SetName("dispatch-in-dport"))))
    ),
}


@pytest.mark.parametrize("what", ODD)
def test_what_a_judge_asks_that_does_more_is_not_changed(what: str) -> None:
    walks = read_walks(ODD[what])
    asked = {SHARED} if what == "leads to another judge" else {OWN, SHARED}
    assert not asked & walks.askers.keys(), what


def test_nothing_is_changed_where_a_verdict_ends_the_judging() -> None:
    assert read_walks(changed(ChainName("ports-443"), before(Rule(Accept())))).askers.keys() == set()
