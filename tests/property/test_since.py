"""To look at what differs is to prove from nothing: through random histories, with mistakes in between."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from policyd.cluster.state import MissingNamespaces
from policyd.proof.since import Given
from policyd_compiler.nft.ast import Table
from policyd_compiler.options import Options
from tests.property.proved_since import follow_proofs, share_looked_at
from tests.strategies.clusters import Shape
from tests.strategies.damage import damaged
from tests.strategies.histories import PLAIN, history

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

    def wrongs(before: Given, now: Given) -> tuple[tuple[str, Table], ...]:
        return ("damaged", broken(rng, now.table)), ("of before", before.table)

    options, missing = rng.choice(every), rng.choice(list(MissingNamespaces))
    return follow_proofs(history(rng, rng.choice(SHAPES), missing, EVENTS), options, wrongs)


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
    assert share_looked_at(counted) > 0.7


def test_most_changes_are_looked_at_and_most_mistakes_seen() -> None:
    """How strong the law is."""
    rng, counted = random.Random("power"), Counter[str]()
    for _ in range(5):
        counted += follow(rng)
    assert share_looked_at(counted) > 0.9
    assert counted["damaged: not"] > counted["damaged: proved"] > 0, counted
    assert counted["of before: not"] > 3 < counted["of before: proved"], counted
