"""The loop: what the objects say is brought into force, and kept there.

Owns the only mutable state beside the store: what is enforced, what was refused, when to try again. Compiles
wholesale from the current state, so the ruleset never depends on the events that led there.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from policyd.agent.blame import suspects
from policyd.agent.pacing import Burst, Pacing, due
from policyd.agent.status import Enforced, Status, Swap
from policyd.agent.store import ObjectStore
from policyd.applier.apply import Applied, Applier
from policyd.applier.backend import NftRefused
from policyd.cluster.state import ClusterState
from policyd.errors import EnvironmentRefused
from policyd.kube.objects import NetworkPolicy
from policyd.obs.metrics import Metrics
from policyd.pipeline import Build, build
from policyd.watcher.pauses import Pauses, backoff
from policyd_compiler.nft.ast import Table
from policyd_compiler.options import Options

log = logging.getLogger(__name__)

#: A refused ruleset is tried without one suspect after another; of more than so many, all are closed at once.
MOST_SUSPECTS = 32


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. `sweep_after`: how long nothing must have changed before leftovers are removed.

    `sweep_latest`: how old leftovers become at most, as under changes without end there is no such time.
    `retry_least`: the least pause after a failure.
    """

    pacing: Pacing = field(default_factory=Pacing)
    verify_every: float = 30.0
    sweep_after: float = 0.2
    sweep_latest: float = 2.0
    retry_least: float = 0.2


@dataclass(frozen=True, slots=True)
class Target:
    """What is enforced where."""

    node: str
    options: Options


class Suspicious(Protocol):
    """Who notices that somebody else may have written into the table: TableMonitor."""

    suspicious: bool


def _build_uncollected(
    state: ClusterState, node: str, options: Options, quarantined: frozenset[str]
) -> Build:
    """Compile while Python looks for no cycles: there are none, and looking takes a third of the time."""
    gc.disable()
    try:
        return build(state, node, options, quarantined)
    finally:
        gc.enable()


class Reconciler:
    """Brings one node's ruleset into force. `run` is its only task, and everything else happens in it."""

    def __init__(
        self,
        store: ObjectStore,
        applier: Applier,
        monitor: Suspicious,
        target: Target,
        timing: Timing,
        metrics: Metrics | None = None,
    ) -> None:
        self.status = Status()
        #: Told of each swap.
        self.on_swap: list[Callable[[Swap], None]] = []
        self._metrics = metrics or Metrics()
        self._store, self._applier, self._monitor = store, applier, monitor
        self._target, self._timing = target, timing
        self._burst: Burst | None = None
        self._ended, self._took, self._retry_at, self._sweep_by = 0.0, 0.0, 0.0, 0.0
        self._verify_at = time.monotonic() + timing.verify_every
        self._quarantined: dict[str, NetworkPolicy] = {}
        self._policy_times: dict[str, float] = {}
        self._stopping = False

    def stop(self, wake: asyncio.Event) -> None:
        """Let `run` end after what it is doing now, so that no transaction is cut off in the middle."""
        self._stopping = True
        wake.set()

    async def run(self, wake: asyncio.Event) -> None:
        """Work until stopped; `wake` is set by the store and the monitor.

        Nothing is written before every kind has been complete once (NP-048).
        """
        while self._store.waiting_for and not self._stopping:
            await wake.wait()
            wake.clear()
        while not self._stopping:
            wake.clear()
            self._note_changes()
            at, action = self._next()
            if at <= time.monotonic():
                await action()
                continue
            try:
                async with asyncio.timeout(at - time.monotonic()):
                    await wake.wait()
            except TimeoutError:
                pass

    def _note_changes(self) -> None:
        now = time.monotonic()
        if self._store.take_changed():
            first = self._burst.first if self._burst else now
            waiting = self._burst.urgent if self._burst else False
            urgent = self._store.take_urgent() or waiting
            self._burst = Burst(first, now, urgent)
        if self._monitor.suspicious:
            self._verify_at = min(self._verify_at, max(now, self._retry_at))

    def _next(self) -> tuple[float, Callable[[], Awaitable[None]]]:
        """What is to be done next, and when."""
        actions: list[tuple[float, Callable[[], Awaitable[None]]]] = []
        if self._burst is not None:
            at = due(self._burst, self._timing.pacing, self._ended, self._took)
            actions.append((max(at, self._retry_at), self._converge))
        if self._applier.holds_leftovers:
            at = min(self._ended + self._timing.sweep_after, self._sweep_by)
            if self._burst is not None and self._burst.urgent:  # a new pod waits
                at = max(at, self._sweep_by + self._timing.sweep_latest)
            # What is left may be many times the ruleset: it is swept before the kernel is compared with it.
            at = at if self._monitor.suspicious else min(at, self._verify_at)
            actions.append((max(at, self._retry_at), self._sweep))
        if not self._applier.holds_leftovers or self._monitor.suspicious:
            actions.append((self._verify_at, self._verify))
        return min(actions, key=lambda item: item[0])

    async def _converge(self) -> None:
        """Compile the cluster as it is now, and bring it into force."""
        began = time.monotonic()
        burst, self._burst = self._burst or Burst(began, began), None
        if not self._applier.holds_leftovers:
            self._sweep_by = began + self._timing.sweep_latest
        self._policy_times = {**self._store.take_policy_times(), **self._policy_times}
        try:
            built, applied = await self._compile_and_apply(self._store.state())
        except EnvironmentRefused as error:
            self._metrics.applies.labels("failed").inc()
            self._fail("the ruleset could not be applied", "apply.failed", error)
            self._burst = burst
        else:
            self._measure(burst)
            self._succeed(built, applied)
        self._ended = time.monotonic()
        self._took = self._ended - began

    def _measure(self, burst: Burst) -> None:
        now = time.monotonic()
        self._metrics.programming_seconds.observe(now - burst.first)
        for first in self._policy_times.values():
            self._metrics.policy_seconds.observe(now - first)
        self._policy_times = {}

    async def _compile_and_apply(self, state: ClusterState) -> tuple[Build, Applied]:
        # A policy that was refused gets another chance when it has changed.
        self._quarantined = {k: p for k, p in self._quarantined.items() if state.policies.get(k) == p}
        built = await self._build(state, frozenset(self._quarantined))
        try:
            return built, await self._apply(built)
        except NftRefused as refusal:
            culprits = await self._find_culprits(state, built, refusal)
            if not culprits:
                raise
            self._quarantined |= {key: state.policies[key] for key in culprits}
            log.error(
                "the kernel refused a policy: its pods are isolated, and it allows nothing",
                extra={"event": "policy.quarantined", "policies": sorted(culprits), "reason": str(refusal)},
            )
            built = await self._build(state, frozenset(self._quarantined))
            return built, await self._apply(built)

    async def _apply(self, built: Build) -> Applied:
        with self._metrics.apply_seconds.time():
            return await self._applier.apply(built.table)

    async def _build(self, state: ClusterState, quarantined: frozenset[str]) -> Build:
        with self._metrics.compile_seconds.time():
            # In a thread, so that the loop goes on reading what comes.
            return await asyncio.to_thread(
                _build_uncollected, state, self._target.node, self._target.options, quarantined
            )

    async def _find_culprits(self, state: ClusterState, built: Build, refusal: NftRefused) -> frozenset[str]:
        """The policies without which the kernel takes the ruleset: one if that is enough."""
        candidates = [key for key in suspects(refusal.statement, built.owners) if key in state.policies]
        if candidates and await self._is_taken(built):
            return frozenset()  # it was no policy, but what the kernel held: somebody else wrote in between
        for key in candidates[:MOST_SUSPECTS]:
            if await self._is_taken(await self._build(state, frozenset({*self._quarantined, key}))):
                return frozenset({key})
        return frozenset(candidates)

    async def _is_taken(self, built: Build) -> bool:
        """Whether the kernel would take a ruleset in the place of whatever it holds."""
        try:
            await self._applier.check(built.table)
        except NftRefused:
            return False
        return True

    def _succeed(self, built: Build, applied: Applied) -> None:
        status = self.status
        for before in self._replaced(applied):
            for tell in self.on_swap:
                tell(Swap(before, built.table, applied.generation))
        status.trouble, status.failures = "", 0
        status.quarantined = tuple(sorted(self._quarantined))
        self._retry_at = 0.0
        for warning in sorted(set(built.warnings) - set(status.enforced.warnings if status.enforced else ())):
            log.warning("objects do not go together", extra={"event": "cluster.odd", "reason": warning})
        first = status.enforced is None
        since = time.time() if applied.steps or status.enforced is None else status.enforced.since
        status.table = built.table
        status.enforced = Enforced(applied.generation, since, built.stats, built.warnings, built.findings)
        if applied.steps or first:
            status.applies += bool(applied.steps)
            self._metrics.applies.labels("applied").inc(bool(applied.steps))
            fields = {
                "event": "ruleset.applied",
                "generation": applied.generation,
                "pods": built.stats.pods,
                "rules": built.stats.rules,
            }
            log.info("ruleset in force", extra=fields)

    def _replaced(self, applied: Applied) -> list[Table | None]:
        """The rulesets in whose place another is now: those under which connections may have been opened."""
        status = self.status
        if status.enforced is None:
            return [None]  # everything counts as new: whoever was here before may not have finished
        found = [applied.before] if applied.steps else []
        # What failed may have been done, and then only reading back told of it.
        return [*found, status.table] if status.failures else found

    def _fail(self, sentence: str, event: str, error: Exception) -> None:
        self.status.trouble = f"{sentence}: {error}"
        chance = random.random()  # noqa: S311 jitter
        least = self._timing.retry_least
        pause = backoff(self.status.failures, chance, Pauses(first=least))
        self._retry_at = time.monotonic() + max(least, pause)
        self.status.failures += 1
        log.error(sentence, extra={"event": event, "reason": str(error), "failures": self.status.failures})

    async def _verify(self) -> None:
        """Compare the kernel with what was applied; what differs is repaired at once."""
        self._monitor.suspicious = False
        self._verify_at = time.monotonic() + self._timing.verify_every
        try:
            found = await self._applier.verify()
        except EnvironmentRefused as error:
            self._fail("the ruleset could not be verified", "verify.failed", error)
            self._verify_at = self._retry_at
            return
        self.status.verified, self.status.differences = time.time(), found
        if found:
            self.status.repairs += 1
            self._metrics.drift.inc()
            log.warning(
                "somebody changed the ruleset: repairing it",
                extra={"event": "ruleset.drift", "differences": found[:8]},
            )
            now = time.monotonic()
            self._burst = Burst(now - self._timing.pacing.patience, now, urgent=True)
        elif self._burst is None:
            self.status.trouble, self.status.failures = "", 0

    async def _sweep(self) -> None:
        try:
            await self._applier.sweep()
        except EnvironmentRefused as error:
            self._fail("what is left of the last ruleset could not be removed", "sweep.failed", error)
            now = time.monotonic()
            self._burst = self._burst or Burst(now, now)
