"""`python -m bench.asking [PODS POLICIES]`: what questions of a whole cluster cost, in seconds of a core.

Reading is not counted. Python's collector of garbage rests, as it does for the commands.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from typing import TypeVar

from bench.scenarios import LARGE, Scale, as_list, cluster
from policyd.ask.rectangles import rectangles
from policyd.ask.world import World
from policyd.cluster.state import ClusterState
from policyd.kube.registry import ASKED
from policyd.manifests.load import load_manifest

T = TypeVar("T")
HUGE = Scale(pods=50_000, policies=5_000, local=100)


def all_pairs(scale: Scale) -> float:
    """Print what it takes to know all pairs, part by part; together."""
    objects, _ = load_manifest(as_list(cluster(scale)), "cluster.json", kinds=ASKED)
    state = ClusterState.of(objects, kinds=ASKED)
    world, resolve = _timed(lambda: World.of(state))
    gates = world.gates
    _, divide = _timed(lambda: [gates.rows(gate) for gate in {*gates.egress, *gates.ingress}])
    pairs, join = _timed(lambda: _pairs(world))
    print(f"{scale.pods} pods, {scale.policies} policies: {pairs} pairs")
    print(f"  resolve {resolve:.2f} s, divide gates {divide:.2f} s, join {join:.2f} s")
    return resolve + divide + join


def _pairs(world: World) -> int:
    return sum(each.sources.bit_count() * each.destinations.bit_count() for each in rectangles(world))


def _timed(what: Callable[[], T]) -> tuple[T, float]:
    began = time.process_time()
    found = what()
    return found, time.process_time() - began


def main(arguments: list[str]) -> None:
    """Measure a cluster of so many pods and policies, or those of the documents."""
    gc.disable()
    numbers = list(map(int, arguments))
    for scale in [Scale(numbers[0], numbers[1], 100)] if numbers else [LARGE, HUGE]:
        print(f"  together {all_pairs(scale):.2f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
