"""What a proof costs a processor: from nothing, and after one change of each kind.

`python -m bench.proving [PODS POLICIES LOCAL …]`: tables for clusters of these scales, in milliseconds of
one thread: with pods of which no interface is known, and with all of them on a bridge. The changes are those
of `bench.following`; nothing is written to a kernel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from statistics import median
from zlib import crc32

from bench.following import KINDS, Events, chosen_scales, timed
from bench.scenarios import NODE, Scale, cluster
from policyd.cluster.attachments import Attachments
from policyd.cluster.state import ClusterState
from policyd.graph.changes import ObjectChange
from policyd.graph.graph import Graph
from policyd.kube.decode import decode_live
from policyd.pipeline import build
from policyd.proof.prove import prove
from policyd.proof.since import Given, is_still_proved
from policyd_compiler.ir import Attachment
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
    for scale, bridged in product(chosen_scales(__doc__, SCALES), (False, True)):
        measured = measure(scale, bridged=bridged)
        where = ", on a bridge" if bridged else ""
        print(f"\n{scale.name}{where}: from nothing {median(measured.whole):.0f}\n")
        print("| event | proved again: median | most | from nothing after all |")
        print("|---|---|---|---|")
        for kind, times in measured.changes.items():
            print(
                f"| {kind} | {median(times):.1f} | {max(times):.1f} | {measured.unsaid[kind]} |", flush=True
            )


def measure(scale: Scale, events: int = EVENTS, *, bridged: bool = False) -> Measured:
    """Prove a cluster of this scale, and again after each change."""
    measured = Measured()
    state = ClusterState.of(d for raw in cluster(scale) if (d := decode_live(raw).item) is not None)
    state = on_bridge(state) if bridged else state
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
        for now in _built(first, make(state, events)) if bridged else _followed(first, make(state, events)):
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
        state = _changed(state, change)
        yield Given(state, step.ruleset.table)


def _built(first: Given, changes: Events) -> Iterator[Given]:
    """The same on a bridge, where ports come and go with their pods."""
    state = first.state
    for change in changes:
        state = on_bridge(_changed(state, change))
        yield Given(state, build(state, NODE, OPTIONS).table)


def _changed(state: ClusterState, change: ObjectChange) -> ClusterState:
    item = change.after or change.before
    assert item is not None
    kind = state.kinds.of(item).name
    objects = {key: each for key, each in state.by_kind[kind].items() if key != change.key}
    if change.after is not None:
        objects[change.key] = change.after
    return replace(state, by_kind={**state.by_kind, kind: objects})


def on_bridge(state: ClusterState) -> ClusterState:
    """All pods of the node on one bridge, by ports that are named after them."""
    numbers = {key: crc32(key.encode()) for key, pod in state.pods.items() if pod.node == NODE}
    pods = {key: Attachment(f"veth{number:08x}", "cni0", 2 << 40 | number) for key, number in numbers.items()}
    ports = tuple(sorted(each.interface for each in pods.values()))
    return replace(state, attachments=Attachments(pods, ("cni0",), ports, ("eth0",)))


if __name__ == "__main__":
    main()
