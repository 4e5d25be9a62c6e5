"""One change after another in a small cluster, held to what a build gives."""

from __future__ import annotations

from dataclasses import replace

from policyd.cluster.state import ClusterState
from policyd.graph.changes import ObjectChange, Step
from policyd.graph.graph import Graph
from policyd.kube.objects import Pod
from policyd.pipeline import build
from policyd_compiler.options import Options

NODE = "n1"


def graph_of(state: ClusterState) -> Graph:
    return Graph(build(state, NODE, Options()), state, NODE)


def remote(state: ClusterState, key: str) -> Pod:
    """A pod of another node, like one that there is."""
    return replace(state.pods[key], name="new", uid="new", v4=0x0A00FFFF, v6=None)


def follow(state: ClusterState, *changes: ObjectChange) -> tuple[Step | None, int]:
    """What becomes of it, which is what a build gives; and how many isolations were made again."""
    graph = graph_of(state)
    graph.counts.units = 0
    step = graph.change(changes)
    if step is not None:
        built = build(after(state, *changes), NODE, Options())
        made = step.ruleset
        assert (made.table, made.stats, made.warnings) == (built.table, built.stats, built.warnings)
    return step, graph.counts.units


def after(state: ClusterState, *changes: ObjectChange) -> ClusterState:
    objects = {(state.kinds.of(item).name, state.kinds.key(item)): item for item in state.objects()}
    for change in changes:
        kind = state.kinds.of(change.before or change.after).name  # type: ignore[arg-type]
        objects.pop((kind, change.key), None)
        if change.after is not None:
            objects[kind, change.key] = change.after
    return ClusterState.of(objects.values(), state.missing_namespaces)
