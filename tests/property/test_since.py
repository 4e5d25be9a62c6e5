"""To look at what differs is to prove from nothing: through random histories, with mistakes in between."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from policyd.cluster.state import MissingNamespaces
from policyd.pipeline import build
from policyd.proof.prove import prove
from policyd.proof.since import Given, is_still_proved
from policyd_compiler.nft.ast import Table
from policyd_compiler.options import Options
from tests.strategies.clusters import Shape
from tests.strategies.damage import damaged
from tests.strategies.histories import NODE, PLAIN, history

#: Addresses that are hard to own, and policies of all tiers; and clusters in which that is rare.
SHAPES = (
    Shape(pods=14),
    PLAIN,
    Shape(pods=14, tiers=5, strange_tiers=True),
    Shape(pods=40, least_pods=20, policies=6, conflicts=False, open_rules=False, tiers=4),
)
OPTIONS = (
    Options(),
    Options(deny="reject"),
    Options(pod_interfaces=("veth*",)),
    Options(hairpin="evaluate", node_egress="exempt"),
)
EVENTS = 8
#: Each is dozens of proofs.
EXAMPLES = max(6, settings().max_examples // 16)


def follow(rng: random.Random, every: tuple[Options, ...] = OPTIONS) -> Counter[str]:
    """One history: each ruleset, one with a mistake and one of before are held to what is proved before."""
    counted: Counter[str] = Counter()
    options, missing = rng.choice(every), rng.choice(list(MissingNamespaces))
    before: Given | None = None
    for event in history(rng, rng.choice(SHAPES), missing, EVENTS):
        built = build(event.state, NODE, options)
        now = Given(event.state, built.table, frozenset(over.policy for over in built.over))
        proof = prove(now.state, NODE, options, now.table, now.closed)
        assert proof.proved
        if before is not None:
            still = is_still_proved(before, now, NODE, options)
            counted[f"{event.kind}: {'looked at' if still else 'from nothing'}"] += 1
            for name, table in (("damaged", broken(rng, now.table)), ("of before", before.table)):
                wrong = now._replace(table=table)
                found = is_still_proved(before, wrong, NODE, options)
                assert not found or prove(wrong.state, NODE, options, table, wrong.closed).proved
                counted[f"{name}: {'proved' if found else 'not'}"] += 1
        before = now if proof.plain else None
    return counted


def broken(rng: random.Random, table: Table) -> Table:
    try:
        return damaged(rng, table)
    except IndexError:  # nothing is in it that could be
        return replace(table, chains=(), sets=(), maps=())


@settings(max_examples=EXAMPLES)
@given(seed=st.integers(0, 1 << 32))
def test_what_is_still_proved_is_proved_from_nothing(seed: int) -> None:
    follow(random.Random(seed))


def test_in_a_mesh_too_most_changes_are_looked_at() -> None:
    """There policies mean more ports than they name."""
    rng, counted = random.Random("power"), Counter[str]()
    for _ in range(5):
        counted += follow(rng, (Options(istio_ambient="translate"),))
    looked = sum(n for name, n in counted.items() if name.endswith(": looked at"))
    assert looked > 0.7 * (looked + sum(n for name, n in counted.items() if name.endswith(": from nothing")))


def test_most_changes_are_looked_at_and_most_mistakes_seen() -> None:
    """How strong the law is."""
    rng, counted = random.Random("power"), Counter[str]()
    for _ in range(5):
        counted += follow(rng)
    looked = sum(n for name, n in counted.items() if name.endswith(": looked at"))
    assert looked > 0.9 * (looked + sum(n for name, n in counted.items() if name.endswith(": from nothing")))
    assert counted["damaged: not"] > counted["damaged: proved"] > 0, counted
    assert counted["of before: not"] > 3 < counted["of before: proved"], counted
