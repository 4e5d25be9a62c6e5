"""What a part is for is said by the structure of a ruleset, and is what the compiler made it for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from hypothesis import given, settings

from policyd_compiler.nft.ast import Table
from policyd_compiler.nft.parser import parse_replace
from policyd_compiler.nft.printer import print_replace
from policyd_compiler.plan import plan
from policyd_compiler.roles import Role, addresses, roles
from policyd_compiler.ruleset import PartId, Ruleset
from tests.strategies.tables import TABLES

#: What names begin with, as the compiler gives them. Only here are they read.
CHAINS = {
    "forward|input|output|prerouting": Role.HOOK,
    "not-new|stray|hairpin|from|from-arp|from-links|from-pods|to|to-pods|claims|advertised": Role.WAY,
    "in|in-answers|out|out-answers|speaks|hears": Role.JUDGE,
    "reject": Role.INNER,
}
MAPS = {
    "egress|egress-answers|ingress|ingress-answers|says|speaks|hears": Role.DISPATCH,
    "peer-ports|peer-answers": Role.PEERS,
    "range-ports|range-answers|groups": Role.INNER,
}
SETS = {
    "bound": Role.BINDING,
    "known|held": Role.PODS,
    "nodes|itself|pod-interfaces|pod-links|pod-ports|known-ports|other-ports": Role.GUARD,
    "own-macs|own-targets|macs|isolated|attached": Role.GUARD,
    "group|peers": Role.PEERS,
    "ranges|senders": Role.INNER,
}
BEGINNING = {"chain": CHAINS, "map": MAPS, "set": SETS}


def meant(part: PartId) -> Role | None:
    """What the compiler made a part for; None for what serves several ends."""
    word = re.sub(r"[46]?(-[a-z2-7]{32}.*)?$", "", part.name)
    return next((role for words, role in BEGINNING[part.kind].items() if word in words.split("|")), None)


def both(table: Table) -> Iterator[Table]:
    """Yield a table and the one next to it."""
    yield table
    if table.bridge is not None:
        yield table.bridge


@settings(max_examples=60)
@given(TABLES)
def test_the_structure_says_what_each_part_is_for(table: Table) -> None:
    """And nothing is made that no packet comes to."""
    for one in both(table):
        for part, role in roles(Ruleset(one)).items():
            assert role is not Role.LEFT, part
            assert meant(part) in (None, role), part


@settings(max_examples=60)
@given(TABLES, TABLES)
def test_what_is_not_swept_yet_is_for_nothing(old: Table, new: Table) -> None:
    """The roles of the ruleset that is in force are those without leftovers."""
    planned = plan(old, new)
    left = roles(Ruleset(planned.leaves))
    found = roles(Ruleset(planned.brings))
    for part, role in left.items():
        assert role is found.get(part, Role.LEFT)
    for role in (Role.DISPATCH, Role.BINDING, Role.PODS):
        assert addresses(planned.leaves, role) == addresses(planned.brings, role)


@settings(max_examples=60)
@given(TABLES)
def test_names_mean_nothing(table: Table) -> None:
    """All parts by other names: each is for what it was for."""
    for one in both(table):
        parts = sorted({part.name for part in Ruleset(one)}, key=len, reverse=True)
        names = {name: f"part{number}" for number, name in enumerate(parts)}
        word = re.compile("|".join(rf"(?<=[ @]){re.escape(name)}(?=[ ;,\n]|$)" for name in parts))
        text = _renamed(print_replace(replace(one, bridge=None)), word, names)
        found = {PartId(kind, names[name]): role for (kind, name), role in roles(Ruleset(one)).items()}
        assert roles(Ruleset(parse_replace(text))) == found


def _renamed(text: str, word: re.Pattern[str], names: dict[str, str]) -> str:
    lines = text.splitlines(keepends=True)
    return "".join(li if " hook " in li else word.sub(lambda found: names[found[0]], li) for li in lines)
