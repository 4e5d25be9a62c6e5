"""Makes rulesets: compiles the cluster, or follows what changed since it did so.

Both run in a watched thread. To follow is never necessary: whatever goes wrong with it costs one compilation.
"""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from policyd.agent.clock import Clock
from policyd.agent.compiling import CompileFailed, Limits, compile_here
from policyd.agent.memory import give_back
from policyd.agent.reporting.status import AgentStatus
from policyd.cluster.attachments import Attachments
from policyd.cluster.state import ClusterState
from policyd.errors import EnvironmentRefused
from policyd.graph.changes import ObjectChange, Step, in_turn
from policyd.graph.graph import Graph
from policyd.obs.metrics import Metrics
from policyd.pipeline import Build, Ruleset, build
from policyd_compiler.options import Options

log = logging.getLogger(__name__)

#: A compilation may take so many times as long as the longest that went well, if that is more than its limit.
GROWTH = 3.0
#: Of more changes at once a compilation may be cheaper: so many, or one for so many pods.
MOST_FOLLOWED, PODS_FOR_ONE = 256, 40

#: So long after a compilation what was followed to since is compared with another.
CHECK_SECONDS = 300.0

BuildFunction: TypeAlias = Callable[[ClusterState, str, Options, frozenset[str]], Build]
#: Begins to follow: from a build of a state, for a node.
Made = TypeVar("Made")
GraphOf: TypeAlias = Callable[[Build, ClusterState, str], Graph]


@dataclass(frozen=True, slots=True)
class Target:
    """What is enforced where, how it is compiled, in how many seconds of a processor, and followed."""

    node: str
    options: Options
    build: BuildFunction = build
    compile_seconds: float = 60.0
    graph: GraphOf = Graph


class Builder:
    """Makes rulesets, one after another."""

    def __init__(self, target: Target, status: AgentStatus, metrics: Metrics, clock: Clock) -> None:
        self._target, self._status, self._metrics, self._clock = target, status, metrics, clock
        self._longest = 0.0  # seconds of a processor that a compilation took which went well
        self._base: tuple[Build, ClusterState] | None = None
        self._graph: Graph | None = None
        self._unchecked = False  # whether anything was followed since the last compilation
        self._built_at, self._most = 0.0, MOST_FOLLOWED

    def limits(self, share: float = 1.0) -> Limits:
        """What a compilation may take; with `share`, such a part of the time."""
        return Limits(max(self._target.compile_seconds * share, self._longest * GROWTH))

    def compile(self, state: ClusterState, closed: frozenset[str]) -> Build:
        """Compile while Python looks for no cycles: there are none, and looking takes a third of the time."""
        gc.disable()
        try:
            return self._target.build(state, self._target.node, self._target.options, closed)
        finally:
            gc.enable()

    async def build(self, state: ClusterState, closed: frozenset[str]) -> Build:
        """Compile. Raises CompileFailed, EnvironmentRefused."""
        self._status.compiling = self._clock.now()
        try:
            with self._metrics.compile_seconds.time():
                built, seconds = await compile_here(lambda: self._timed(state, closed), self.limits())
        finally:
            self._status.compiling = None
        self._longest = max(self._longest, seconds)
        self._count("built")
        return built

    def _timed(self, state: ClusterState, closed: frozenset[str]) -> tuple[Build, float]:
        built, seconds = self.compile(state, closed), time.thread_time()
        give_back()
        return built, seconds

    def start(self, built: Build, state: ClusterState) -> None:
        """This is in force now, whole: what changes from now on may be followed."""
        self._base, self._graph, self._unchecked = (built, state), None, False
        self._most = max(MOST_FOLLOWED, len(state.pods) // PODS_FOR_ONE)
        self._built_at = self._clock.now()

    def stop(self) -> None:
        """What is in force is not known, or something else: nothing is followed until the next start."""
        self._base = self._graph = None
        self._unchecked = False

    @property
    def is_unprepared(self) -> bool:
        """Whether what changes are followed with is still to be made."""
        return self._base is not None

    async def prepare(self) -> None:
        """Make what changes are followed with, so that the first of them need not wait for it."""
        await self._watched(self._graph_of_base)

    def is_check_due(self, *, otherwise: bool = False) -> bool:
        """Whether, now that it is quiet, a compilation should show that what was followed to is right.

        `otherwise`: whether there is another reason for one.
        """
        return (self._unchecked or otherwise) and self._clock.now() >= self._built_at + CHECK_SECONDS

    def groups(self, changes: Sequence[ObjectChange] | None) -> list[list[ObjectChange]]:
        """Changes as they are followed, one group after the other; none where they are not."""
        if self._base is None and self._graph is None:
            return []
        if changes is None or len(changes) > self._most:
            self._give_up("more changed at once than is followed")
            return []
        return in_turn(changes, self._target.node)

    async def follow(
        self, changes: Sequence[ObjectChange], attachments: Attachments | None = None
    ) -> Step | None:
        """The ruleset after a group of changes; None where it has to be compiled.

        `attachments`: those that are known now, with the last group.
        """
        step = await self._watched(lambda: self._graph_of_base().change(changes, attachments))
        if step is None:
            self._give_up("a bug" if self._graph is None else self._graph.reason)
            return None
        self._unchecked = self._unchecked or bool(changes) or step.changes is None
        self._count("followed")
        return step

    async def _watched(self, work: Callable[[], Made]) -> Made | None:
        """Work with the graph in a thread; None, and no graph, if that failed."""
        self._status.compiling = self._clock.now()
        try:
            return await compile_here(work, self.limits())
        except CompileFailed as error:
            fields = {"event": "follow.failed", "reason": str(error)}
            log.error("a change could not be followed: a bug; the cluster is compiled", extra=fields)
        except EnvironmentRefused as error:
            fields = {"event": "follow.failed", "reason": str(error)}
            log.warning("a change could not be followed; the cluster is compiled", extra=fields)
        finally:
            self._status.compiling = None
        self._graph = self._base = None
        return None

    def _give_up(self, reason: str) -> None:
        known = self._status.not_followed
        known[reason] = known.get(reason, 0) + 1
        self.stop()

    def _count(self, way: str) -> None:
        self._metrics.made.labels(way).inc()
        self._status.made[way] = self._status.made.get(way, 0) + 1

    def _graph_of_base(self) -> Graph:
        """Made of the compilation when it is needed first, so that no ruleset has to wait for it."""
        if self._base is not None:
            self._graph, self._base = self._target.graph(*self._base, self._target.node), None
        assert self._graph is not None  # noqa: S101 for mypy
        return self._graph

    def compare(self, followed: Ruleset, built: Build) -> None:
        """Say so if a compilation comes to something else than what was followed to. Then it is right."""
        if (followed.table, followed.stats) != (built.table, built.stats):
            self._count("wrong")
            fields = {"event": "follow.wrong", "followed": followed.stats, "built": built.stats}
            log.error("changes were followed to a wrong ruleset: a bug; it is replaced", extra=fields)
