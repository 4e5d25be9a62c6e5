"""Through a history: to look at what differs is to prove from nothing, with mistakes in between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from policyd.pipeline import build
from policyd.proof.prove import prove
from policyd.proof.since import Given, is_still_proved
from policyd_compiler.nft.ast import Table
from policyd_compiler.options import Options
from tests.strategies.histories import NODE, Event

#: By name, wrong rulesets: given what was before, and what is now.
Wrongs = Callable[[Given, Given], Iterable[tuple[str, Table]]]


def follow_proofs(events: Iterable[Event], options: Options, wrongs: Wrongs) -> Counter[str]:
    """Each ruleset, and some with a mistake, are held to what is proved before; how often what came of it."""
    counted: Counter[str] = Counter()
    before: Given | None = None
    for event in events:
        built = build(event.state, NODE, options)
        now = Given(event.state, built.table, frozenset(over.policy for over in built.over))
        proof = prove(now.state, NODE, options, now.table, now.closed)
        assert proof.proved
        if before is not None:
            still = is_still_proved(before, now, NODE, options)
            counted[f"{event.kind}: {'looked at' if still else 'from nothing'}"] += 1
            for name, table in wrongs(before, now):
                wrong = now._replace(table=table)
                found = is_still_proved(before, wrong, NODE, options)
                assert not found or prove(wrong.state, NODE, options, table, wrong.closed).proved
                counted[f"{name}: {'proved' if found else 'not'}"] += 1
        before = now if proof.plain else None
    return counted


def share_looked_at(counted: Counter[str]) -> float:
    """Of the changes, as a part of 1, those that were looked at; the others were proved from nothing."""
    looked = sum(n for name, n in counted.items() if name.endswith(": looked at"))
    return looked / (looked + sum(n for name, n in counted.items() if name.endswith(": from nothing")))
