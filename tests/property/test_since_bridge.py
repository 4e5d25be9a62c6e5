"""On a bridge, too, to look at what differs is to prove from nothing, whatever ports come and go."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from hypothesis import example, given, settings
from hypothesis import strategies as st

from policyd.cluster.attachments import Attachments
from policyd.cluster.state import ClusterState, MissingNamespaces
from policyd.proof.since import Given
from policyd_compiler.ir import Attachment
from policyd_compiler.nft.ast import Table
from policyd_compiler.options import Options
from tests.property.proved_since import follow_proofs, share_looked_at
from tests.strategies.clusters import Shape
from tests.strategies.damage import damaged
from tests.strategies.histories import NODE, PLAIN, Event, history

SHAPES = (
    Shape(pods=14),
    PLAIN,
    Shape(pods=14, tiers=3),
    Shape(pods=40, least_pods=20, policies=6, conflicts=False, open_rules=False),
)
OPTIONS = (Options(), Options(pod_interfaces=("veth*",)))
EVENTS = 8
EXAMPLES = max(4, settings().max_examples // 75)


def on_bridge(rng: random.Random, events: Iterator[Event]) -> Iterator[Event]:
    """The same history; most pods hang on a bridge, and from time to time one hangs elsewhere."""
    known: dict[str, Attachment] = {}
    for event in events:
        here = sorted(key for key, pod in event.state.pods.items() if pod.node == NODE)
        for key in here:
            if key not in known or rng.random() < 0.02:
                number = rng.randrange(1 << 16)
                known[key] = Attachment(
                    f"veth{number:x}", rng.choice(("cni0", "cni0", "br1", "")), rng.choice((number, None))
                )
        left = {key: known[key] for key in here if hash_of(key) % 8}
        yield replace(event, state=_attached(event.state, left))


def hash_of(key: str) -> int:
    """Of some pods the port is never known."""
    return sum(key.encode())


def _attached(state: ClusterState, known: dict[str, Attachment]) -> ClusterState:
    ports = tuple(sorted({"vethx", *(each.interface for each in known.values() if each.bridge)}))
    return replace(state, attachments=Attachments(known, ("br1", "cni0"), ports, ("eth1",)))


def wrongs(rng: random.Random, before: Given, now: Given) -> Iterator[tuple[str, Table]]:
    """Rulesets that somebody changed, or that did not follow."""
    table = now.table
    yield "of before", replace(table, bridge=before.table.bridge)
    if table.bridge is not None:
        for _ in range(2):
            yield "damaged", replace(table, bridge=damaged(rng, table.bridge))


def follow(rng: random.Random, options: Options | None = None) -> Counter[str]:
    """One history: each ruleset, and some with a mistake, are held to what is proved before."""
    options, missing = options or rng.choice(OPTIONS), rng.choice(list(MissingNamespaces))
    events = on_bridge(rng, history(rng, rng.choice(SHAPES), missing, EVENTS))
    return follow_proofs(events, options, lambda before, now: wrongs(rng, before, now))


@settings(max_examples=EXAMPLES)
@given(seed=st.integers(0, 1 << 32))
@example(seed=0)
def test_what_is_still_proved_of_frames_is_proved_from_nothing(seed: int) -> None:
    follow(random.Random(seed))


def test_most_changes_are_looked_at_and_most_mistakes_seen() -> None:
    """How strong the law is."""
    rng, counted = random.Random("power"), Counter[str]()
    for _ in range(5):
        counted += follow(rng)
    assert share_looked_at(counted) > 0.5
    assert counted["damaged: not"] > counted["damaged: proved"] > 0, counted
    assert counted["of before: not"] > 3 < counted["of before: proved"], counted
