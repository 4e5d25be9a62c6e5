"""What somebody else does to the table is seen and fixed: with real nft, as no fake knows it all."""

from __future__ import annotations

import pytest

from policyd.applier.apply import Applier
from policyd.applier.backend import Nft
from policyd_compiler.nft.ast import Table, TableFamily
from policyd_compiler.nft.stamp import stamp
from tests.applier.rulesets import BRIDGED, NAME, OLD, content, on_bridge

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.parametrize("nft", ["program", "library"], indirect=True),
]

HELD = "10.244.1.1"
MAP = next(part.name for part in OLD.maps if part.name.startswith("ingress4"))
SET = next(part.name for part in OLD.sets if part.name.startswith("itself4"))
CHAIN = next(chain.name for chain in OLD.chains if chain.name.startswith("in4-"))
CHANGES = {
    "a dormant table": "add table inet policyd { flags dormant; }",
    "no table": "delete table inet policyd",
    "no rule": "flush chain inet policyd forward",
    "a rule in front": "insert rule inet policyd forward accept",
    "a rule behind": "add rule inet policyd output drop",
    "a rule that we would not write": "insert rule inet policyd forward counter accept",
    "a rule of a chain": f"insert rule inet policyd {CHAIN} return",
    "a policy": "add chain inet policyd forward { policy drop; }",
    "a chain": "add chain inet policyd foreign",
    "a base chain": "add chain inet policyd foreign { type filter hook input priority 7; }",
    "a chain of another type": "add chain inet policyd foreign { type nat hook postrouting priority 100; }",
    "a set": "add set inet policyd foreign { type ipv4_addr; }",
    "a set with a flag": "add set inet policyd foreign { type ipv4_addr; flags timeout; timeout 1h; }",
    "a map to something else": "add map inet policyd foreign { type ipv4_addr : mark; }",
    "a counter": "add counter inet policyd foreign",
    "an element less": f"delete element inet policyd {MAP} {{ {HELD} }}",
    "another verdict": f"flush map inet policyd {MAP}\nadd element inet policyd {MAP} {{ {HELD} : accept }}",
    "another element": (
        f"flush set inet policyd {SET}\nadd element inet policyd {SET} {{ 10.9.9.9 . 10.9.9.9 }}"
    ),
}

SIDE = BRIDGED.bridge or Table("none")
MACS = next(part.name for part in SIDE.sets if part.name.startswith("macs"))
PORTS = next(part.name for part in SIDE.sets if part.name.startswith("pod-ports"))
HEARS = next(part.name for part in SIDE.maps if part.name.startswith("hears4"))
FROM = next(chain.name for chain in SIDE.chains if chain.name.startswith("from4"))
FOREIGN_TABLE = (
    "add table bridge policyd\n"
    "add chain bridge policyd forward { type filter hook forward priority -10; }\n"
    "add rule bridge policyd forward drop"
)
BESIDE = {
    "no table": "delete table bridge policyd",
    "a table of nothing": "delete table bridge policyd\nadd table bridge policyd",
    "somebody else's": f"delete table bridge policyd\n{FOREIGN_TABLE}",
    "a dormant table": "add table bridge policyd { flags dormant; }",
    "no rule": "flush chain bridge policyd prerouting",
    "a rule in front": "insert rule bridge policyd forward accept",
    "a rule behind": "add rule bridge policyd forward drop",
    "a rule that we would not write": "insert rule bridge policyd prerouting counter accept",
    "a rule of a chain": f"insert rule bridge policyd {FROM} accept",
    "a policy": "add chain bridge policyd forward { policy drop; }",
    "a chain": "add chain bridge policyd foreign",
    "a base chain": "add chain bridge policyd foreign { type filter hook postrouting priority 7; }",
    "a set": "add set bridge policyd foreign { type ether_addr; }",
    "an element less": f"delete element bridge policyd {MACS} {{ 02:00:00:00:00:01 }}",
    "an element more": f'add element bridge policyd {PORTS} {{ "ens3" }}',
    "another verdict": (
        f'flush map bridge policyd {HEARS}\nadd element bridge policyd {HEARS} {{ "vetha" : accept }}'
    ),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_is_reported_and_fixed(nft: Nft, change: str) -> None:
    await is_repaired(nft, OLD, CHANGES[change], "inet")


@pytest.mark.parametrize("change", BESIDE)
async def test_a_change_next_to_is_reported_and_repaired(nft: Nft, change: str) -> None:
    """In family bridge; the table in family inet is not touched but for its generation."""
    await is_repaired(nft, BRIDGED, BESIDE[change], "bridge")


@pytest.mark.parametrize("text", ["add table bridge policyd", FOREIGN_TABLE], ids=["empty", "at a hook"])
async def test_a_table_next_to_that_nobody_wants_is_reported_and_removed(nft: Nft, text: str) -> None:
    """Its name is ours, so whatever is in it judges frames in our name."""
    await is_repaired(nft, OLD, text, "bridge")


async def test_what_is_not_swept_next_to_is_no_change(nft: Nft) -> None:
    """Leftovers of a swap are known, and go with the next sweep."""
    applier = Applier(nft, NAME)
    await applier.apply(BRIDGED)
    await applier.apply(on_bridge())
    assert applier.holds_leftovers
    assert await applier.verify() == ()
    await applier.sweep()
    assert await applier.verify() == ()
    assert await content(nft) == stamp(on_bridge(), applier.generation)


async def test_tables_of_others_in_family_bridge_are_let_be(nft: Nft) -> None:
    """Neither a repair nor a removal touches them."""
    await nft.run("add table bridge others\nadd chain bridge others c\nadd rule bridge others c drop\n")
    before = await nft.list_table("others", "bridge")
    applier = Applier(nft, NAME)
    await applier.apply(BRIDGED)
    await nft.run("delete table bridge policyd\n")
    assert await applier.verify() != ()
    await applier.apply(BRIDGED)
    await applier.apply(OLD)
    await applier.sweep()
    assert await applier.verify() == ()
    await applier.remove()
    assert await nft.list_table("others", "bridge") == before
    assert (await nft.list_table(NAME, "bridge"), await nft.list_table(NAME)) == (None, None)


async def is_repaired(nft: Nft, table: Table, change: str, family: TableFamily) -> None:
    applier = Applier(nft, NAME)
    await applier.apply(table)
    before = await nft.list_table(NAME, family)
    assert await applier.verify() == ()
    await nft.run(change + "\n")
    assert await nft.list_table(NAME, family) != before
    assert await applier.verify() != ()
    await applier.apply(table)
    await applier.sweep()
    assert await applier.verify() == ()
    if applier.lags:  # elements that could not be changed where they are stand beside, by another name
        await applier.apply(table)
        await applier.sweep()
    assert await applier.verify() == ()
    assert await content(nft) == stamp(table, applier.generation)
