"""What a proof costs a processor: from nothing, and after one change of each kind.

`python -m bench.proving [PODS POLICIES LOCAL …]`: a table for clusters of these scales, in milliseconds of
one thread. The changes are those of `bench.following`; nothing is written to a kernel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from statistics import median

from bench.following import KINDS, Events, chosen_scales, timed
from bench.scenarios import NODE, Scale, cluster
from policyd.cluster.state import ClusterState
from policyd.graph.graph import Graph
from policyd.kube.decode import decode_live
from policyd.pipeline import build
from policyd.proof.prove import prove
from policyd.proof.since import Given, is_still_proved
from policyd_compiler.options import Options

SCALES = (Scale(1_000, 100, 100), Scale(10_000, 1_000, 100))
EVENTS = 20
OPTIONS = Options()


@dataclass
class Measured:
    """Milliseconds of proofs from nothing, and after changes by kind; and after how many all was proved."""

    whole: list[float] = field(default_factory=list)
    changes: dict[str, list[float]] = field(default_factory=dict)
    unsaid: dict[str, int] = field(default_factory=dict)


def main() -> None:
    """Print the table."""
    for scale in chosen_scales(__doc__, SCALES):
        measured = measure(scale)
        print(f"\n{scale.name}: from nothing {median(measured.whole):.0f}\n")
        print("| event | proved again: median | most | from nothing after all |")
        print("|---|---|---|---|")
        for kind, times in measured.changes.items():
            print(
                f"| {kind} | {median(times):.1f} | {max(times):.1f} | {measured.unsaid[kind]} |", flush=True
            )


def measure(scale: Scale, events: int = EVENTS) -> Measured:
    """Prove a cluster of this scale, and again after each change."""
    measured = Measured()
    state = ClusterState.of(d for raw in cluster(scale) if (d := decode_live(raw).item) is not None)
    first = Given(state, build(state, NODE, OPTIONS).table)
    for _ in range(3):
        took, proof = timed(partial(prove, first.state, NODE, OPTIONS, first.table))
        assert proof.proved
        assert proof.plain
        measured.whole.append(took)
    for kind, make in KINDS.items():
        times: list[float] = []
        measured.changes[kind], measured.unsaid[kind] = times, 0
        before = first
        for now in _followed(first, make(state, events)):
            took, still = timed(partial(is_still_proved, before, now, NODE, OPTIONS))
            times.append(took)
            measured.unsaid[kind] += not still
            before = now
    return measured


def _followed(first: Given, changes: Events) -> Iterator[Given]:
    """The cluster and its ruleset after each change, as an agent has them."""
    state, graph = first.state, Graph(build(first.state, NODE, OPTIONS), first.state, NODE)
    for change in changes:
        step = graph.change([change])
        assert step is not None, graph.reason
        item = change.after or change.before
        assert item is not None
        kind = state.kinds.of(item).name
        objects = {key: each for key, each in state.by_kind[kind].items() if key != change.key}
        if change.after is not None:
            objects[change.key] = change.after
        state = replace(state, by_kind={**state.by_kind, kind: objects})
        yield Given(state, step.ruleset.table)


if __name__ == "__main__":
    main()
