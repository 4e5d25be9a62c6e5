"""Elements that change next to a swap: no packet meets what neither ruleset says at any time."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from itertools import product
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from policyd.kube.cidr import parse_ip
from policyd_compiler.around import Around, around
from policyd_compiler.nft.ast import Table
from policyd_compiler.sim import Packet, Simulator
from tests.cases.form import ingress, namespace, pod, pods
from tests.oracle import Manifest
from tests.routes import compile_world
from tests.splits import ATOMIC, applied, ends, outcomes
from tests.strategies.clusters import Shape
from tests.strategies.worlds import random_world

SEEDS = st.integers(0, 2**32 - 1)
SHAPE = Shape(pods=12, least_pods=6, open_rules=False, policies=8, least_policies=4, conflicts=False)
PORTS = (80, 443, 8080)


def changed(rng: random.Random, world: list[Manifest]) -> tuple[list[Manifest], list[Manifest]]:
    """A world before and after something that concerns some of its pods, or a policy."""
    pods = [item for item in world if item["kind"] == "Pod"]
    policies = [item for item in world if item["kind"] == "NetworkPolicy"]
    without = rng.sample(pods, min(len(pods), rng.choice((1, 1, 1, 2))))
    if policies and rng.random() < 0.3:
        without.append(rng.choice(policies))
    fewer = [item for item in world if all(item is not gone for gone in without)]
    if rng.random() < 0.3:
        other: Any = copy.deepcopy(without[0])
        other["metadata"]["labels"] = {"app": rng.choice("abc")}
        return world, [*fewer, *without[1:], other]
    return (world, fewer) if rng.random() < 0.5 else (fewer, world)


def packets(rng: random.Random, world: list[Manifest]) -> Iterator[Packet]:
    """New connections and strays between the pods of a world, some of all."""
    by_family: dict[int, list[int]] = {4: [], 6: []}
    for item in world:
        status: Any = item.get("status") or {}
        for each in status.get("podIPs") or ():
            family, value = parse_ip(each["ip"])
            by_family[family].append(value)
    for family, addresses in by_family.items():
        # What a pod sends to itself does not leave it, and by way of a Service it passes before it is judged.
        pairs = [(one, other) for one, other in product(addresses, addresses) if one != other]
        for source, target in rng.sample(pairs, min(len(pairs), 40)):
            for port in PORTS:
                one = Packet(4 if family == 4 else 6, source, target, "tcp", port, sport=1)
                yield one
                yield Packet(one.family, source, target, "tcp", 1, sport=port, ct_state="invalid")


def wrong(old: Table, new: Table, found: Around, sent: list[Packet]) -> list[str]:
    """What the law does not allow."""
    first, between, last = Simulator(old), Simulator(found.between), Simulator(new)
    (step,) = found.delta.steps
    before, after = (first, between) if found.when == "before" else (between, last)
    assert applied(old if found.when == "before" else found.between, step) == (
        found.between if found.when == "before" else new
    )
    return [
        f"{found.when}: {one}"
        for one in sent
        if not {*outcomes(before, after, one), between.evaluate(one).verdict} <= ends(first, last, one)
    ]


@settings(max_examples=150)
@given(SEEDS)
def test_no_packet_meets_what_neither_ruleset_says(seed: int) -> None:
    rng = random.Random(seed)
    world, other = changed(rng, random_world(rng, SHAPE))
    old, new = (compile_world(of, "n1").table for of in (world, other))
    found = around(old, new, ATOMIC)
    if found is not None:
        sent = list(packets(rng, [*world, *other]))
        assert wrong(old, new, found, sent) == []


def test_it_is_found_for_many_pods_that_come_and_go() -> None:
    """Else the law would hold for want of anything to look at."""
    seen: list[str] = []
    for seed in range(60):
        rng = random.Random(seed)
        old, new = (compile_world(of, "n1").table for of in changed(rng, random_world(rng, SHAPE)))
        found = around(old, new, ATOMIC)
        seen.append("none" if found is None else found.when)
    assert seen.count("before") > 3, seen
    assert seen.count("after") > 3, seen


def friends(*numbers: int) -> Table:
    """Pods of the node that only friends may reach, and that are friends."""
    made = [
        pod(f"x/f{n}", f"10.0.0.{n}", f"fd00::{n}", metadata={"labels": {"role": "friend"}}) for n in numbers
    ]
    policy = {**ingress("x", None), "spec": {"podSelector": {}, "ingress": [{"from": [pods(role="friend")]}]}}
    return compile_world([namespace("x"), *made, policy], "n1").table


def test_pods_that_come_together_and_are_peers_of_each_other_are_put_alongside() -> None:
    """In between, the chains of each would not know the other yet; one alone has nobody to miss."""
    assert around(friends(1), friends(1, 2, 3), ATOMIC) is None
    found = around(friends(1), friends(1, 2), ATOMIC)
    assert found is not None
    assert found.when == "after"
