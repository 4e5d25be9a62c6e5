"""What somebody else does to the table is seen and mended: with real nft, as no fake knows it all."""

from __future__ import annotations

import pytest

from policyd.applier.apply import Applier
from policyd.applier.backend import Nft
from policyd_compiler.nft.stamp import stamp
from tests.applier.rulesets import NAME, OLD, content

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


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_is_told_and_mended(nft: Nft, change: str) -> None:
    applier = Applier(nft, NAME)
    await applier.apply(OLD)
    before = await nft.list_table(NAME)
    assert await applier.verify() == ()
    await nft.run(CHANGES[change] + "\n")
    assert await nft.list_table(NAME) != before
    assert await applier.verify() != ()
    await applier.apply(OLD)
    await applier.sweep()
    assert await applier.verify() == ()
    assert await content(nft) == stamp(OLD, applier.generation)
