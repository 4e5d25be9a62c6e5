"""What follows pods of other nodes step by step comes to what a build of the cluster gives, byte by byte."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from policyd.cluster.state import MissingNamespaces
from policyd.graph.changes import Step
from policyd.graph.graph import Graph
from policyd.pipeline import Build, Ruleset, build
from policyd_compiler.changes import changed_addresses
from policyd_compiler.elements import differing_elements
from policyd_compiler.nft.ast import Table
from policyd_compiler.nft.printer import print_replace
from policyd_compiler.options import Options
from tests.strategies.clusters import Shape
from tests.strategies.histories import NODE, PLAIN, Event, changed, history

SEEDS = st.integers(0, 2**32 - 1)
#: Everything that makes an address hard to own; and clusters in which that is rare.
ODD = Shape(pods=14)
#: The same with ClusterNetworkPolicies before and behind.
ODD_TIERS = Shape(pods=14, tiers=5, strange_tiers=True)
PLAIN_TIERS = Shape(pods=40, least_pods=20, policies=6, conflicts=False, open_rules=False, tiers=4)
EVENTS = 25
#: With some, policies are close to their budget.
OPTIONS = (
    Options(),
    Options(deny="reject"),
    Options(pod_interfaces=("veth*",)),
    Options(istio_ambient="translate"),
    *(Options(namespace_budget=many, policy_budget=few) for few, many in ((600, 1500), (2000, 6000))),
)


def expected(found: Ruleset) -> tuple[object, ...]:
    return found.table, found.warnings, found.stats, found.findings, found.idle, found.over


def check(step: Step, before: Table, built: Build) -> None:
    """That a step gives what a build gives, and says how that differs from what was before."""
    made = step.ruleset
    assert expected(made) == expected(built)
    assert print_replace(made.table) == print_replace(built.table)
    assert dict(made.owners) == dict(built.owners)
    if step.changes is not None:
        assert step.changes == differing_elements(before, made.table)
        concerned = changed_addresses(before, made.table)
        assert changed_addresses(before, made.table, step.changes) == concerned


def follow(rng: random.Random, shape: Shape, options: Options) -> Counter[str]:
    """One history, held to the law: how many events of which kind it was followed through, and not."""
    counted: Counter[str] = Counter()
    graph: Graph | None = None
    last: tuple[Event, Table] | None = None
    missing = rng.choice(list(MissingNamespaces))
    closed = frozenset({f"a/np{rng.randrange(4)}"}) if rng.random() < 0.2 else frozenset[str]()
    if shape.tiers and rng.random() < 0.2:
        closed |= {f"cnp{rng.randrange(4)}"}
    for event in history(rng, shape, missing, EVENTS):
        built = build(event.state, NODE, options, closed)
        step = None
        if graph is not None and last is not None:
            step = graph.change(changed(last[0].state, event.state), event.state.attachments)
            counted[f"{event.kind}: {'followed' if step else 'built'}"] += 1
            if step is None:
                counted[graph.reason] += 1
            if step is not None:
                counted.update(name.split("-")[0] for name in step.changes or ())
                check(step, last[1], built)
        last = event, built.table
        if step is None:
            graph = Graph(built, event.state, NODE)
    return counted


@given(SEEDS)
def test_following_is_building(seed: int) -> None:
    rng = random.Random(seed)
    options = rng.choice(OPTIONS)
    follow(rng, rng.choice((ODD, PLAIN)), options)


@settings(max_examples=40)
@given(SEEDS)
def test_following_is_building_with_tiers(seed: int) -> None:
    rng = random.Random(seed)
    options = rng.choice(OPTIONS)
    follow(rng, rng.choice((ODD_TIERS, PLAIN_TIERS)), options)


def test_most_changes_of_pods_of_other_nodes_are_followed() -> None:
    """How strong the law is; in these small clusters a verdict is often the first of its kind."""
    rng, counted = random.Random("power"), Counter[str]()
    for _ in range(40):
        counted += follow(rng, PLAIN, Options())
    followed, built = counted["remote pod: followed"], counted["remote pod: built"]
    assert followed > 0.8 * (followed + built) > 300, counted


def test_a_mesh_whose_ports_are_translated_is_followed_as_well() -> None:
    rng, counted = random.Random("mesh"), Counter[str]()
    for _ in range(8):
        counted += follow(rng, rng.choice((PLAIN, PLAIN_TIERS)), Options(istio_ambient="translate"))
    assert counted["policy: followed"] > 3, counted
    assert counted["remote pod: followed"] > 8 * sum(n for key, n in counted.items() if "built" in key), (
        counted
    )
