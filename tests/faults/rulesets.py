"""Rulesets that tell most faults of compiling: of all cases, and of random worlds with links and tiers."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

from policyd.pipeline import build
from policyd_compiler.options import Options
from tests.cases.form import ingress, namespace, pod, pods
from tests.faults.corners import corners
from tests.golden.golden import cases as golden_cases
from tests.oracle import Manifest
from tests.routes import DEFAULTS, node_addresses, state_of
from tests.routes import not_proved as reasons_of
from tests.strategies.clusters import Shape
from tests.strategies.scenes import any_scene
from tests.strategies.worlds import random_world
from tests.worlds import recorded_cases, unreal_cases, upstream_cases, written_cases


def _ports(*numbers: int) -> list[Manifest]:
    return [{"port": number} for number in numbers]


#: Sets of ports so large that one is written as the difference from another.
_MANY_PORTS = (
    namespace("x"),
    *(pod(f"x/{name}", f"10.0.0.{number}") for number, name in enumerate("abc", start=1)),
    ingress(
        "x",
        "a",
        {"from": [pods(pod="b")], "ports": _ports(*range(1, 99, 2))},
        {"from": [pods(pod="c")], "ports": _ports(200, *range(5, 99, 2))},
    ),
)
_LARGE = Shape(least_pods=40, pods=80, least_policies=10, policies=15)


def not_proved(rng: random.Random, worlds: int) -> Iterator[str]:
    """Why rulesets are not what the policies mean, one after the other; what tells most comes first."""
    yield from first_proofs(rng, worlds)
    for case in (*written_cases(), *recorded_cases(), *unreal_cases(), *upstream_cases()):
        state = state_of(case.objects, live=case.live)
        asked = {node for probe in case.probes for node in probe.nodes}
        for node in sorted(asked or node_addresses(case.objects)):
            for reason in reasons_of(state, node, build(state, node, DEFAULTS), DEFAULTS):
                yield f"{case.id}: {reason}"


def first_proofs(rng: random.Random, worlds: int) -> Iterator[str]:
    """The same of the golden cases and of random worlds."""
    for golden in golden_cases():
        state = golden.state(golden.node)
        built = build(state, golden.node, golden.options)
        for reason in reasons_of(state, golden.node, built, golden.options):
            yield f"{golden.folder.name}: {reason}"
    state = state_of([*_MANY_PORTS])
    yield from reasons_of(state, "n1", build(state, "n1", DEFAULTS), DEFAULTS)
    for corner in corners():
        built = build(corner.state, "n1", corner.options, corner.closed)
        yield from reasons_of(corner.state, "n1", built, corner.options, corner.closed)
    for number in range(worlds):
        state, node, options = any_scene(rng)
        if number % 5 == 0:
            world = random_world(rng, _LARGE)
            state, options = replace(state_of(world), attachments=state.attachments), Options()
        for reason in reasons_of(state, node, build(state, node, options), options):
            yield f"world {number}: {reason}"
