"""What every backend does, the fake among them: one suite, in fresh network namespaces."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policyd.applier.backend import Nft, NftRefused, delete_tables
from policyd_compiler.nft.ast import (
    Accept,
    Chain,
    ChainName,
    Continue,
    Counter,
    CounterName,
    CounterRef,
    Drop,
    Goto,
    Hook,
    Limit,
    Log,
    Rule,
    Set,
    Table,
    VerdictMap,
    Vmap,
)
from policyd_compiler.nft.commands import (
    ChainRule,
    Change,
    Elements,
    WholeTable,
    add,
    delete,
    flush,
    print_changes,
)
from policyd_compiler.nft.expressions import Field, InSet, Match, Numbers, Prefix
from policyd_compiler.nft.json_parser import parse_listing
from policyd_compiler.nft.keys import KeyType, SetName
from policyd_compiler.nft.printer import print_replace
from policyd_compiler.options import Options
from policyd_compiler.plan import plan
from tests.applier.refusals import FOUNDATION, REFUSALS, Refused
from tests.fakes.fake_nft import FakeNft
from tests.routes import compile_world
from tests.strategies.worlds import worlds

V4 = 10 << 24
MANY = 100_000
FORWARD = Chain(ChainName("forward"), hook=Hook("forward", -10))
PODS, WAYS, RANGES = SetName("pods"), SetName("ways"), SetName("ranges")
DENY = ChainName("deny")


async def content(nft: Nft, name: str = "t") -> Table | None:
    listing = await nft.list_table(name)
    return None if listing is None else parse_listing(listing, name)


def bare(table: Table) -> Table:
    """The table without notes, which no kernel keeps, and its comment, which nft 1.0.6 does not tell."""
    return replace(
        table,
        comment="",
        notes=(),
        sets=tuple(replace(part, notes=()) for part in table.sets),
        maps=tuple(replace(part, notes=()) for part in table.maps),
        chains=tuple(replace(chain, notes=()) for chain in table.chains),
    )


async def test_every_command_is_done(nft: Nft) -> None:
    to_deny = Rule(Drop(), (Match(Field.IP_SADDR, InSet(PODS)),), comment="a note")
    steps: tuple[tuple[Change, Table], ...] = (
        (add(WholeTable()), Table("t")),
        (add(FORWARD), Table("t", chains=(FORWARD,))),
        (add(Chain(DENY)), Table("t", chains=(Chain(DENY), FORWARD))),
        (flush("chain", DENY), Table("t", chains=(Chain(DENY), FORWARD))),
    )
    pods = Set(PODS, KeyType.V4, (V4 + 1, V4 + 2), size=4)
    ways = VerdictMap(WAYS, KeyType.V4, ((V4 + 1, Goto(DENY)), (V4 + 2, Accept())))
    ranges = Set(RANGES, KeyType.V4, ((V4, V4 + 255), (V4 + 512, V4 + 512)), interval=True)
    forward = replace(FORWARD, rules=(Rule(Vmap(Field.IP_SADDR, WAYS)),))
    deny = Chain(DENY, (to_deny,))
    whole = Table("t", sets=(pods, ranges), maps=(ways,), chains=(deny, forward))
    fewer = replace(pods, elements=(V4 + 2,))
    more: tuple[tuple[tuple[Change, ...], Table], ...] = (
        ((add(pods), add(ways), add(ranges)), replace(whole, chains=(Chain(DENY), FORWARD))),
        ((add(ChainRule(DENY, to_deny)), add(ChainRule(FORWARD.name, forward.rules[0]))), whole),
        ((add(pods), add(ranges)), whole),
        ((Change("delete", Elements(PODS, KeyType.V4, (V4 + 1,))),), replace(whole, sets=(fewer, ranges))),
        ((flush("set", PODS), add(pods)), whole),
        ((flush("map", WAYS),), replace(whole, maps=(replace(ways, elements=()),))),
        (
            (flush("chain", FORWARD.name), delete("map", WAYS)),
            replace(whole, maps=(), chains=(deny, FORWARD)),
        ),
        ((delete("chain", DENY), delete("set", PODS)), Table("t", sets=(ranges,), chains=(FORWARD,))),
    )
    for commands, expected in (*(((command,), table) for command, table in steps), *more):
        await nft.run(print_changes("t", commands))
        assert expected == await content(nft)


async def test_what_rules_do_next_to_their_verdict_comes_back(nft: Nft) -> None:
    """In the order in which it is done, with counters by their names, whatever they have counted."""
    hits, denied = CounterName("hits"), CounterName("in4-denied.shop/web")
    matches = (Match(Field.IP_SADDR, Prefix(V4, 8)), Match(Field.TCP_DPORT, Numbers(((80, 80),))))
    rules = (
        Rule(Continue(), statements=(CounterRef(hits),)),
        Rule(Drop(), matches, "denied", (CounterRef(denied), Limit(10, "second"), Log("denied: ", 7))),
        Rule(Continue(), matches, statements=(Limit(1, "minute", burst=20, over=True), Log())),
        Rule(Accept(), matches[1:], statements=(Log("shop/web", 3, snaplen=128, queue_threshold=1),)),
        Rule(Vmap(Field.IP_SADDR, WAYS), statements=(CounterRef(hits), Log(group=0))),
        Rule(Drop(), statements=(Limit(100, "hour", burst=1), Limit(1000, "day", burst=7, over=True))),
    )
    table = Table(
        "t",
        maps=(VerdictMap(WAYS, KeyType.V4, ((V4, Drop()),)),),
        chains=(replace(FORWARD, rules=rules),),
        counters=(Counter(hits), Counter(denied)),
    )
    for _ in range(2):
        await nft.run(print_replace(table))
        assert table == await content(nft)
    fewer = replace(table, chains=(replace(FORWARD, rules=rules[1:4]),), maps=(), counters=table.counters[1:])
    for wanted, held in ((fewer, table), (table, fewer)):
        for step in plan(held, wanted).steps:
            await nft.run(step.script)
        assert wanted == await content(nft)


async def test_size_changes_where_one_is_given(nft: Nft) -> None:
    """And counts from the next transaction on."""
    sizes = []
    for text in ("size 2;", "", "size 3;", ""):
        await nft.run(f"add table inet t\nadd set inet t s {{ type ipv4_addr; {text} }}\n")
        table = await content(nft)
        assert table is not None
        sizes.append(table.sets[0].size)
    assert sizes == [2, 2, 3, 3]


@pytest.mark.parametrize("refused", REFUSALS, ids=lambda refused: refused.name)
async def test_refusal(nft: Nft, refused: Refused) -> None:
    """A script is refused for this reason, in this line, and nothing of it is done: neither tried nor run."""
    await nft.run(FOUNDATION)
    before = await nft.list_table("t")
    for attempt in (nft.check, nft.run):
        with pytest.raises(NftRefused) as caught:
            await attempt(refused.script)
        error = caught.value
        assert error.reason.removeprefix("Could not process rule: ").startswith(refused.reason)
        assert error.line == refused.line or (not refused.line and isinstance(nft, FakeNft))
        assert error.statement == (refused.script.split("\n")[error.line - 1].strip() if error.line else "")
    assert await nft.list_table("t") == before


async def test_refused_script_changes_nothing(nft: Nft) -> None:
    """All or nothing, however much comes before the line that is refused."""
    await nft.run(FOUNDATION)
    before = await content(nft)
    good = "add chain inet t c\nflush chain inet t forward\nadd rule inet t c drop\ndelete chain inet t b\n"
    with pytest.raises(NftRefused, match="line 5"):
        await nft.run(f"{good}add rule inet t none drop\n")
    assert await content(nft) == before
    await nft.run(good)
    assert await content(nft) != before


async def test_first_of_many_errors_is_reported(nft: Nft) -> None:
    await nft.run(FOUNDATION)
    with pytest.raises(NftRefused) as caught:
        await nft.run("add rule inet t none drop\ndelete chain inet t a\nadd rule inet t more drop\n")
    assert caught.value.line == 1
    assert "delete chain" not in caught.value.message


async def test_check_changes_nothing(nft: Nft) -> None:
    await nft.check(FOUNDATION)
    assert await nft.list_table("t") is None
    await nft.run(FOUNDATION)
    before = await nft.list_table("t")
    await nft.check("delete table inet t\n")
    assert await nft.list_table("t") == before


async def test_listing_holds_one_table(nft: Nft) -> None:
    await nft.run(f"{FOUNDATION}add table inet u\n")
    listing = await nft.list_table("u")
    assert listing is not None
    kinds = [next(iter(item)) for item in json.loads(listing)["nftables"]]
    assert kinds == ["metainfo", "table"]


@pytest.mark.parametrize("name", ["", "t; flush ruleset", "t\n", "1a", "a b", "x" * 256])
async def test_only_a_name_is_listed(nft: Nft, name: str) -> None:
    with pytest.raises(ValueError, match="no name of an nft table"):
        await nft.list_table(name)


async def test_table_is_deleted_whether_it_is_there_or_not(nft: Nft) -> None:
    await nft.run(FOUNDATION)
    for _ in range(2):
        await delete_tables(nft, "t")
        assert await nft.list_table("t") is None


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(
    world=worlds(),
    node=st.sampled_from(["n1", "n2", "n3"]),
    interfaces=st.sampled_from([(), ("eth*", "veth1")]),
)
async def test_lowered_tables_come_back(
    nft: Nft, world: list[dict[str, object]], node: str, interfaces: tuple[str, ...]
) -> None:
    """The kernel lists what was sent, for every world and node, over whatever there was before."""
    table = compile_world(world, node, Options(pod_interfaces=interfaces)).table
    await nft.run(print_replace(table))
    assert await content(nft, table.name) == bare(table)


async def test_large_scripts_and_listings(nft: Nft) -> None:
    """A hundred thousand elements go in and come back."""
    part = Set(PODS, KeyType.V4, tuple(range(V4, V4 + MANY)), size=MANY)
    await nft.run(print_changes("t", (add(WholeTable()), add(part))))
    assert await content(nft) == Table("t", sets=(part,))


async def test_calls_at_the_same_time_wait_for_each_other(nft: Nft) -> None:
    """Each transaction is whole, and each listing is of a state between two."""

    async def contend() -> list[str | None]:
        await nft.run(FOUNDATION)
        writers = [nft.run(_all_or_none(number)) for number in range(12)]
        readers = [nft.list_table("t") for _ in range(12)]
        mixed = [call for pair in zip(writers, readers, strict=True) for call in pair]
        return list(await asyncio.gather(*mixed))[1::2]

    for listing in await contend():
        assert listing is not None
        table = parse_listing(listing, "t")
        assert table is not None
        owners = {re.sub("[^0-9]", "", chain.name) for chain in table.chains if chain.name.startswith("own")}
        rules = [chain.rules for chain in table.chains if chain.name.startswith("own")]
        assert len(owners) <= 1
        assert len(rules) in (0, 3)


def _all_or_none(number: int) -> str:
    """A transaction that replaces the table by one with three chains of its own."""
    chains = "".join(f"add chain inet t own{number}{part}\n" for part in "abc")
    return f"add table inet t\ndelete table inet t\nadd table inet t\n{chains}"


async def test_works_again_after_close(nft: Nft) -> None:
    await nft.run(FOUNDATION)
    await nft.close()
    assert await content(nft) is not None


def test_describes_itself(nft: Nft) -> None:
    assert re.fullmatch(r"[a-z].{10,}", nft.describe())
