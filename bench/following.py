"""What one event about a pod of another node costs a processor: by a compilation, and followed.

`python -m bench.following [PODS POLICIES LOCAL …]`: rows for clusters of these scales, in milliseconds of one
thread. Pods come and go, each like one that is there. Nothing is written to a kernel.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from statistics import median, quantiles
from typing import TypeVar

from bench.scenarios import NODE, Scale, cluster
from policyd.cluster.state import ClusterState
from policyd.graph.changes import ObjectChange, Step
from policyd.graph.graph import Graph
from policyd.kube.decode import decode_live
from policyd.kube.objects import KubeObject
from policyd.kube.registry import POD
from policyd.pipeline import Build, build
from policyd_compiler.delta import Order, in_place
from policyd_compiler.elements import HeldTable
from policyd_compiler.options import Options

SCALES = (Scale(1_000, 100, 100), Scale(10_000, 1_000, 100), Scale(100_000, 10_000, 250))
EVENTS = 400

T = TypeVar("T")


@dataclass
class Row:
    """Milliseconds of each event, and elements that it changed."""

    compiled: list[float] = field(default_factory=list)
    first: float = 0.0  # what it takes to begin to follow, after a compilation
    followed: list[float] = field(default_factory=list)
    ordered: list[float] = field(default_factory=list)
    elements: list[int] = field(default_factory=list)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("numbers", nargs="*", type=int, metavar="PODS POLICIES LOCAL")
    numbers = parser.parse_args().numbers
    scales = [Scale(*numbers[at : at + 3]) for at in range(0, len(numbers), 3)] or SCALES
    print("| cluster | compiled | to begin | followed: median | 99 % | its order: median | 99 % | elements |")
    print("|---|---|---|---|---|---|---|---|")
    for scale in scales:
        row = measure(scale)
        cells = [
            scale.name,
            f"{median(row.compiled):.1f}",
            f"{row.first:.1f}",
            *(
                f"{value:.2f}"
                for of in (row.followed, row.ordered)
                for value in (median(of), quantiles(of, n=100)[-1])
            ),
            f"{median(row.elements):g}, at most {max(row.elements)}",
        ]
        print(f"| {' | '.join(cells)} |", flush=True)


def measure(scale: Scale) -> Row:
    """Follow events in a cluster of this scale."""
    row = Row()
    state = ClusterState.of(d for raw in cluster(scale) if (d := decode_live(raw).item) is not None)
    built = build(state, NODE, Options())
    for change in _events(state, 2):
        pods: dict[str, KubeObject] = {k: pod for k, pod in state.pods.items() if k != change.key}
        if change.after is not None:
            pods[change.key] = change.after
        other = replace(state, by_kind={**state.by_kind, POD.name: pods})
        row.compiled.append(_timed(partial(_compile, other, built))[0])
    row.first, graph = _timed(partial(Graph, built, state, NODE))
    order = Order(built.table, replaces_are_atomic=True)
    for change in _events(state, EVENTS):
        seconds, step = _timed(partial(graph.change, [change]))
        assert step is not None, graph.reason
        row.followed.append(seconds)
        row.ordered.append(_timed(partial(_order, order, step))[0])
        row.elements.append(sum(map(len, (step.changes or {}).values())))
    return row


def _compile(state: ClusterState, before: Build) -> None:
    """As it is without following: all is compiled, compared, and ordered."""
    in_place(before.table, build(state, NODE, Options()).table, partial(Order, replaces_are_atomic=True))


def _order(order: Order, step: Step) -> None:
    assert step.changes is not None
    assert order.delta(step.changes, HeldTable(step.since.table)) is not None


def _events(state: ClusterState, many: int) -> Iterator[ObjectChange]:
    """Pods like others come to other nodes, and go again."""
    rng, numbers = random.Random("events"), count()
    others = [pod for pod in state.pods.values() if pod.node != NODE]
    for number in range(many // 2):
        like = rng.choice(others)
        name = f"{like.name}-{next(numbers)}"
        new = replace(like, name=name, uid=name, v4=0x0AFF0000 + number, v6=(0xFD00 << 112) + number)
        yield ObjectChange(f"{new.namespace}/{name}", None, new)
        yield ObjectChange(f"{new.namespace}/{name}", new, None)


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    """Milliseconds of this thread, and what came of it."""
    began = time.thread_time()
    result = work()
    return 1e3 * (time.thread_time() - began), result


if __name__ == "__main__":
    main()
