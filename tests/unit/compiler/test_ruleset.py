"""Parts of a ruleset: what they are known by, what leads to them, and what is different between two."""

from __future__ import annotations

from dataclasses import replace

from policyd_compiler.nft.ast import (
    Chain,
    ChainName,
    Counter,
    CounterName,
    CounterRef,
    Drop,
    Goto,
    Hook,
    Jump,
    Return,
    Rule,
    Set,
    Table,
    VerdictMap,
    Vmap,
)
from policyd_compiler.nft.expressions import Field, InSet, Match
from policyd_compiler.nft.keys import KeyType, SetName
from policyd_compiler.plan import plan
from policyd_compiler.ruleset import PartId, Ruleset, compare, restricted, with_others

SEEN = Counter(CounterName("seen"))
PEERS = Set(SetName("peers"), KeyType.V4, (1, 2), size=4)
WAYS = VerdictMap(SetName("ways"), KeyType.V4, ((3, Goto(ChainName("in"))),), size=1)
INNER = Chain(
    ChainName("in"),
    (
        Rule(Return(), (Match(Field.IP_SADDR, InSet(PEERS.name)),)),
        Rule(Drop(), statements=(CounterRef(SEEN.name),)),
    ),
)
FIRST = Chain(ChainName("forward"), (Rule(Vmap(Field.IP_DADDR, WAYS.name)),), Hook("forward", -10))
LEFT = Chain(ChainName("left"), (Rule(Jump(ChainName("in"))),))
TABLE = Table("t", sets=(PEERS,), maps=(WAYS,), chains=(FIRST, INNER, LEFT), counters=(SEEN,))
IDS = [("counter", "seen"), ("set", "peers"), ("map", "ways")]
FORWARD, IN, LEFT_ID = (PartId("chain", name) for name in ("forward", "in", "left"))


def test_a_part_is_known_by_kind_and_name_and_names_others() -> None:
    ruleset = Ruleset(TABLE)
    assert list(ruleset) == [*IDS, FORWARD, IN, LEFT_ID]
    assert ruleset.references[IN] == {("set", "peers"), ("counter", "seen")}
    assert ruleset.references[FORWARD] == {("map", "ways")}
    assert ruleset.leading_to({PartId("counter", "seen")}) == {IDS[0], IN, IDS[2], FORWARD, LEFT_ID}
    assert ruleset.reached == {*IDS, FORWARD, IN}


def test_what_differs_is_new_gone_or_changed() -> None:
    other = replace(
        TABLE,
        sets=(replace(PEERS, elements=(1,)),),
        chains=(replace(FIRST, notes=("of nobody",)), replace(INNER, rules=()), LEFT),
        counters=(),
    )
    found = compare(Ruleset(TABLE), Ruleset(other))
    assert (found.new, found.gone) == ((), (SEEN,))
    assert [new for _, new in found.changed] == [other.sets[0], other.chains[1]]
    assert compare(Ruleset(TABLE), Ruleset(TABLE)).changed == ()


def test_a_table_next_to_what_is_left_of_another() -> None:
    less = replace(TABLE, chains=(FIRST, INNER))
    assert with_others(less, TABLE) == TABLE
    assert restricted(TABLE, less) == less
    assert restricted(less, TABLE) is None


def test_a_counter_stays_while_all_that_counts_in_it_is_replaced() -> None:
    """A plan neither makes nor removes a counter that both rulesets have: the kernel counts on."""
    other = Chain(ChainName("in-other"), (Rule(Drop(), statements=(CounterRef(SEEN.name),)),))
    ways = replace(WAYS, name=SetName("ways-other"), elements=((3, Goto(other.name)),))
    first = replace(FIRST, rules=(Rule(Vmap(Field.IP_DADDR, ways.name)),))
    new = replace(TABLE, sets=(), maps=(ways,), chains=(first, other))
    steps = plan(TABLE, new).steps
    assert [step.kind for step in steps] == ["stage", "commit", "sweep", "sweep"]
    assert not any("counter inet" in step.script for step in steps)
    gone = plan(new, replace(new, chains=(replace(first, rules=()),), maps=(), counters=())).steps
    assert gone[-1].script.splitlines()[-1] == "delete counter inet t seen"


def test_what_leads_to_a_set_that_changes_is_put_next_to_with_it() -> None:
    """Nothing that a packet may be walking on changes: the commit gives the base chain another map."""
    more = replace(TABLE, sets=(replace(PEERS, elements=(1, 2, 3)),))
    planned = plan(TABLE, more)
    stage, commit, *_ = (step.script for step in planned.steps)
    assert [name for name in ("peers-", "ways-", "in-") if name in stage] == ["peers-", "ways-", "in-"]
    assert [line.split()[4] for line in commit.splitlines()] == ["forward", "forward"]
    assert plan(planned.brings, more).brings == more
