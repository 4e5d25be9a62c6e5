"""What one event costs a processor: by a compilation, and followed.

`python -m bench.following [PODS POLICIES LOCAL …]`: a table for clusters of these scales, in milliseconds of
one thread. Nothing is written to a kernel.

Each kind of event comes with its opposite, so that the cluster stays as it is: pods come like one that there
is and go again, policies and namespaces change and change back. What differs in elements is put in order for
the kernel; where more differs, both rulesets are compared, and what has to be written is planned and printed.
"""

from __future__ import annotations

import argparse
import gc
import random
import time
from collections.abc import Callable, Iterator, Sequence
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
from policyd.kube.objects import (
    ClusterNetworkPolicy,
    KubeObject,
    LabelSelector,
    NetworkPolicy,
    Pod,
    PodPeer,
    PolicyPort,
    Requirement,
    TierAction,
    TierRule,
)
from policyd.kube.registry import POD
from policyd.pipeline import Build, build
from policyd_compiler.around import around
from policyd_compiler.delta import Order, in_place
from policyd_compiler.elements import HeldTable
from policyd_compiler.nft.ast import Table
from policyd_compiler.options import Options
from policyd_compiler.plan import plan

SCALES = (Scale(1_000, 100, 100), Scale(10_000, 1_000, 100), Scale(100_000, 10_000, 250))
EVENTS = 200
REMOTE = "pod of another node"

T = TypeVar("T")
Events = Iterator[ObjectChange]


@dataclass
class Row:
    """Milliseconds of each event; elements that it changed, and isolations that were made again."""

    followed: list[float] = field(default_factory=list)
    ordered: list[float] = field(default_factory=list)
    elements: list[int] = field(default_factory=list)
    units: list[int] = field(default_factory=list)


@dataclass
class Measured:
    """Milliseconds of compilations, to begin to follow after one, and of events by kind."""

    compiled: list[float] = field(default_factory=list)
    first: float = 0.0
    rows: dict[str, Row] = field(default_factory=dict)


def chosen_scales(description: str | None, scales: Sequence[Scale]) -> Sequence[Scale]:
    """The clusters that the command line asks for; these unless it does."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("numbers", nargs="*", type=int, metavar="PODS POLICIES LOCAL")
    numbers = parser.parse_args().numbers
    return [Scale(*numbers[at : at + 3]) for at in range(0, len(numbers), 3)] or scales


def main() -> None:
    """Print the table."""
    for scale in chosen_scales(__doc__, SCALES):
        measured = measure(scale)
        print(f"\n{scale.name}: compiled {median(measured.compiled):.0f}, to begin {measured.first:.0f}\n")
        print("| event | followed: median | 99 % | its order: median | 99 % | elements | isolations |")
        print("|---|---|---|---|---|---|---|")
        for kind, row in measured.rows.items():
            cells = [
                kind,
                *(
                    f"{value:.2f}"
                    for of in (row.followed, row.ordered)
                    for value in (median(of), quantiles(of, n=100)[-1])
                ),
                f"{median(row.elements):g}, at most {max(row.elements)}",
                f"{median(row.units):g}, at most {max(row.units)}",
            ]
            print(f"| {' | '.join(cells)} |", flush=True)


def measure(scale: Scale, events: int = EVENTS) -> Measured:
    """Follow events in a cluster of this scale."""
    measured = Measured()
    state = ClusterState.of(d for raw in cluster(scale) if (d := decode_live(raw).item) is not None)
    built = build(state, NODE, Options())
    for change in _remote_pods(state, 2):
        pods: dict[str, KubeObject] = {k: pod for k, pod in state.pods.items() if k != change.key}
        if change.after is not None:
            pods[change.key] = change.after
        other = replace(state, by_kind={**state.by_kind, POD.name: pods})
        measured.compiled.append(timed(partial(_compile, other, built))[0])
    measured.first, graph = timed(partial(Graph, built, state, NODE))
    order = _Orders(built.table)
    gc.collect()
    gc.freeze()  # as the agent does (`long_lived`)
    for kind, make in KINDS.items():
        row = measured.rows[kind] = Row()
        for change in make(state, events):
            graph.counts.units = 0
            seconds, step = timed(partial(graph.change, [change]))
            assert step is not None, graph.reason
            row.followed.append(seconds)
            row.ordered.append(timed(partial(order.order, step))[0])
            row.elements.append(sum(map(len, (step.changes or {}).values())))
            row.units.append(graph.counts.units)
    gc.unfreeze()
    return measured


def _compile(state: ClusterState, before: Build) -> None:
    """As it is without following: all is compiled, compared, and ordered."""
    in_place(before.table, build(state, NODE, Options()).table, partial(Order, replaces_are_atomic=True))


class _Orders:
    """Orders what differs as an agent does: what it finds out of chains it keeps as long as they stay."""

    def __init__(self, table: Table) -> None:
        self._order = Order(table, replaces_are_atomic=True)

    def order(self, step: Step) -> None:
        """Find out in which transactions a step is written."""
        old, new = step.since.table, step.ruleset.table
        if step.changes is not None:
            delta = self._of(old).delta(step.changes, HeldTable(old))
        else:
            delta = in_place(old, new, self._of)
        if delta is None:
            found = around(old, new, self._of)
            source, target = old, new
            if found is not None and found.when == "before":
                source = found.between
            elif found is not None:
                target = found.between
            for stage in plan(source, target).steps:
                assert stage.script

    def _of(self, table: Table) -> Order:
        if not self._order.is_of(table):
            self._order = Order(table, replaces_are_atomic=True, before=self._order)
        return self._order


def _remote_pods(state: ClusterState, many: int) -> Events:
    """Pods like others come to other nodes, and go again."""
    return _pods(state, many, [pod for pod in state.pods.values() if pod.node != NODE])


def _local_pods(state: ClusterState, many: int) -> Events:
    """Pods like others come to the node, and go again."""
    return _pods(state, many, [pod for pod in state.pods.values() if pod.node == NODE])


def _pods(_: ClusterState, many: int, others: list[Pod]) -> Events:
    rng, numbers = random.Random("events"), count()
    for number in range(many // 2):
        like = rng.choice(others)
        name = f"{like.name}-{next(numbers)}"
        new = replace(like, name=name, uid=name, v4=0x0AFF0000 + number, v6=(0xFD00 << 112) + number)
        yield from _there_and_back(f"{new.namespace}/{name}", None, new)


def _relabelled_pods(state: ClusterState, many: int) -> Events:
    """Pods of the node are given an application's label that others have, and theirs again."""
    rng = random.Random("labels")
    locals_ = [pod for pod in state.pods.values() if pod.node == NODE]
    for _ in range(many // 2):
        pod = rng.choice(locals_)
        labels = {**dict(pod.labels), "app": f"app-{rng.randrange(10)}", "extra": "yes"}
        other = replace(pod, labels=tuple(sorted(labels.items())))
        yield from _there_and_back(f"{pod.namespace}/{pod.name}", pod, other)


def _edited_policies(state: ClusterState, many: int) -> Events:
    """Policies that select pods of the node let another port through, and then that no more."""
    rng = random.Random("policies")
    spaces = {pod.namespace for pod in state.pods.values() if pod.node == NODE}
    chosen = [policy for policy in state.policies.values() if policy.namespace in spaces]
    for _ in range(many // 2):
        policy = rng.choice(chosen)
        port = PolicyPort("TCP", rng.randrange(1, 1 << 16))
        first, *others = policy.ingress or ()
        edited = replace(policy, ingress=(replace(first, ports=(*(first.ports or ()), port)), *others))
        yield from _there_and_back(f"{policy.namespace}/{policy.name}", policy, edited)


def _new_policies(state: ClusterState, many: int) -> Events:
    """Policies like others are created in namespaces with pods of the node, and deleted."""
    rng, numbers = random.Random("new"), count()
    spaces = sorted({pod.namespace for pod in state.pods.values() if pod.node == NODE})
    others: list[NetworkPolicy] = list(state.policies.values())
    for _ in range(many // 2):
        new = replace(rng.choice(others), namespace=rng.choice(spaces), name=f"new-{next(numbers)}")
        yield from _there_and_back(f"{new.namespace}/{new.name}", None, new)


def _relabelled_namespaces(state: ClusterState, many: int) -> Events:
    """Namespaces are given to another team, and back."""
    rng = random.Random("namespaces")
    spaces = list(state.namespaces.values())
    for _ in range(many // 2):
        space = rng.choice(spaces)
        labels = {**dict(space.labels), "team": f"team-{rng.randrange(20)}"}
        other = replace(space, labels=tuple(sorted(labels.items())))
        yield from _there_and_back(space.name, space, other)


def _new_tier_policies(_: ClusterState, many: int) -> Events:
    """An administrator's policy for all pods is created and deleted: a team's are denied."""
    for number in range(many // 2):
        new = _tier_policy(number, "Deny")
        yield from _there_and_back(new.name, None, new)


def _edited_tier_policies(_state: ClusterState, many: int) -> Events:
    """Such a policy denies, accepts, and denies again."""
    denies, accepts = _tier_policy(0, "Deny"), _tier_policy(0, "Accept")
    yield ObjectChange(denies.name, None, denies)
    for _ in range(many // 2 - 1):
        yield from _there_and_back(denies.name, denies, accepts)
    yield ObjectChange(denies.name, denies, None)


def _tier_policy(number: int, action: TierAction) -> ClusterNetworkPolicy:
    everyone = PodPeer(LabelSelector(), LabelSelector())
    team = LabelSelector((Requirement("team", "In", (f"team-{number % 20}",)),))
    rule = TierRule(action, (PodPeer(team, LabelSelector()),), None)
    return ClusterNetworkPolicy(f"admin-{number}", "Admin", 10, everyone, (rule,), None)


def _there_and_back(key: str, one: KubeObject | None, other: KubeObject) -> Events:
    yield ObjectChange(key, one, other)
    yield ObjectChange(key, other, one)


KINDS: dict[str, Callable[[ClusterState, int], Events]] = {
    REMOTE: _remote_pods,
    "pod of the node": _local_pods,
    "its labels": _relabelled_pods,
    "policy edited": _edited_policies,
    "policy created, deleted": _new_policies,
    "namespace's labels": _relabelled_namespaces,
    "administrator's policy created, deleted": _new_tier_policies,
    "its action": _edited_tier_policies,
}


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """Milliseconds of this thread, and what came of it."""
    began = time.thread_time()
    result = work()
    return 1e3 * (time.thread_time() - began), result


if __name__ == "__main__":
    main()
