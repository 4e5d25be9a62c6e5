"""What a chain of policies must not ask: the proof cannot follow it there, and says so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policyd.pipeline import build
from policyd.proof.prove import prove
from policyd.proof.since import Given, is_still_proved
from policyd_compiler.nft.ast import Return, Rule, Table, Vmap
from policyd_compiler.nft.expressions import Field, InSet, Match, Word
from policyd_compiler.nft.keys import PAIR
from policyd_compiler.options import Options
from tests.cases.form import ingress, namespace, pod, pods
from tests.routes import state_of

NODE, OPTIONS = "n1", Options()
STATE = state_of(
    [
        namespace("x"),
        pod("x/a", "10.0.0.1", "fd00::1"),
        pod("x/b", "10.0.0.2"),
        ingress("x", "a", {"from": [pods(pod="b")]}, name="closed"),
    ]
)
TABLE = build(STATE, NODE, OPTIONS).table
[PAIRS] = (part.name for part in TABLE.sets if part.key is PAIR[4])


def letting(match: Match) -> Table:
    """Whoever is under the policy lets in what matches first."""
    first = Rule(Return(), (match,))
    mapped = {verdict.chain for part in TABLE.maps for _, verdict in part.elements}  # type: ignore[union-attr]
    chains = (replace(c, rules=(first, *c.rules)) if c.name in mapped else c for c in TABLE.chains)
    return replace(TABLE, chains=tuple(chains))


@pytest.mark.parametrize(
    "match",
    [
        Match(Field.IP_PAIR, InSet(PAIRS)),
        Match(Field.IIFNAME, Word("eth0")),
        Match(Field.OIFNAME, Word("eth*")),
    ],
    ids=["a set of pairs", "the interface by which it came", "the interface by which it leaves"],
)
def test_nothing_is_proved_of_it(match: Match) -> None:
    assert prove(STATE, NODE, OPTIONS, TABLE).proved
    [said] = prove(STATE, NODE, OPTIONS, letting(match)).unprovable
    assert f"rule 1: a rule asks for {match.field.row.text} where policies are asked" in said


def test_nothing_is_proved_of_a_map_that_is_asked_for_senders_and_for_receivers() -> None:
    """It would say of senders what policies say of receivers."""
    [name] = (part.name for part in TABLE.maps if part.name.startswith("ingress4-"))
    again = Rule(Vmap(Field.IP_SADDR, name))
    chains = (replace(c, rules=(*c.rules, again)) if c.is_at("forward") else c for c in TABLE.chains)
    wrong = replace(TABLE, chains=tuple(chains))
    [said] = prove(STATE, NODE, OPTIONS, wrong).unprovable
    assert "is asked for senders and for receivers" in said
    assert not is_still_proved(Given(STATE, TABLE), Given(STATE, wrong), NODE, OPTIONS)
