"""The loop: what the objects say is brought into force, and kept there.

Owns the only mutable state besides the store: what is enforced, what is closed, when to try again. `schedule`
decides what is done when; time and chance come in as parameters. What changes is followed, or the cluster is
compiled as it is; both come to the same (`builder`). Whatever a compilation or an apply
raises, the loop goes on, and the last ruleset stays in force.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, assert_never

from policyd.agent.builder import Builder, Target
from policyd.agent.clock import CLOCK, Clock
from policyd.agent.compiling import OverLimits, describe
from policyd.agent.hunt import Failure, Hunt, may_be_a_policy
from policyd.agent.pacing import Burst, merge
from policyd.agent.quarantine import Quarantine, log_quarantine
from policyd.agent.reporting.conditions import Condition, of_reconciler
from policyd.agent.reporting.status import AgentStatus, Enforced, Swap
from policyd.agent.schedule import Action, Facts, Hunting, Intervals, State, TamperMonitor, schedule
from policyd.applier.apply import Applied, Applier
from policyd.applier.backend import NftRefused
from policyd.applier.in_place import Difference
from policyd.cluster.state import ClusterState
from policyd.errors import EnvironmentRefused, PolicydError
from policyd.graph.changes import ObjectChange, Step, keep_policies
from policyd.kube.objects import KubeObject
from policyd.node.attach import KnownPods
from policyd.object_store import ObjectStore
from policyd.obs.metrics import Metrics
from policyd.pipeline import Build, Ruleset
from policyd.watcher.pauses import Pauses, backoff
from policyd_compiler.delta import Changes
from policyd_compiler.nft.ast import Table

log = logging.getLogger(__name__)

#: An attempt to find out who takes too long may take such a part of the limit: about half of them use it up.
_ATTEMPT_SHARE = 0.125


@dataclass(frozen=True, slots=True)
class LoopTiming(Intervals):
    """How long things wait, and by which clock."""

    clock: Clock = CLOCK


class Reconciler:
    """Brings one node's ruleset into force. `run` is its only task, and everything else happens in it."""

    def __init__(
        self,
        store: ObjectStore,
        applier: Applier,
        monitor: TamperMonitor,
        target: Target,
        timing: LoopTiming,
        metrics: Metrics | None = None,
    ) -> None:
        self.status = AgentStatus()
        #: Called with each swap.
        self.on_swap: list[Callable[[Swap], None]] = []
        #: Called whenever a ruleset has been brought into force, also one that changed nothing.
        self.on_enforced: list[Callable[[], None]] = []
        self._taken: KnownPods = {}  # this node's pods, as what is being made has them
        self._metrics = metrics or Metrics()
        self._store, self._applier, self._monitor = store, applier, monitor
        self._target, self._timing, self._clock = target, timing, timing.clock
        self._state = State(self._clock.now() + timing.verify_every)
        self._quarantine = Quarantine()
        self._hunt: Hunt | None = None
        self._good: dict[str, KubeObject] | None = None  # the policies in force
        self._hopeless: ClusterState | None = None  # that closing policies does not help
        self._builder = Builder(target, self.status, self._metrics, self._clock)
        self._check = False  # whether the next ruleset is compiled, to compare what was followed with it
        self._policy_times: dict[str, float] = {}
        self._stopping, self._wake = False, asyncio.Event()

    @property
    def holds_ruleset(self) -> bool:
        """Whether the kernel is known to hold a ruleset of ours."""
        return self._applier.holds_ruleset

    def conditions(self) -> tuple[Condition, ...]:
        """What keeps the ruleset from being in force."""
        return of_reconciler(self.status, self._store.waiting_for, self._clock.now())

    def stop(self, wake: asyncio.Event) -> None:
        """Let `run` end after what it is doing now, so that no transaction is cut off in the middle."""
        self._stopping = True
        wake.set()

    async def run(self, wake: asyncio.Event) -> None:
        """Work until stopped; `wake` is set by the store and the monitor.

        Nothing is written before every kind has been complete once (NP-048).
        """
        self._wake = wake
        while self._store.waiting_for and not self._stopping:
            await wake.wait()
            wake.clear()
        while not self._stopping:
            wake.clear()
            self._note_changes()
            at, action = schedule(self._state, self._facts(), self._timing)
            if (seconds := at - self._clock.now()) <= 0.0:
                await self._do(action)
            else:
                await self._clock.wait(wake, seconds)

    def _note_changes(self) -> None:
        now = self._clock.now()
        self._state = self._state.told(self._store.take_news(), now, self._timing.pacing)
        if self._monitor.tampered:
            self._state = self._state.tampered(now)

    def _facts(self) -> Facts:
        hunt = self._hunt
        return Facts(
            self._applier.holds_ruleset,
            self._applier.holds_leftovers,
            self._monitor.tampered,
            None if hunt is None else Hunting(hunt.began, hunt.enough is not None),
            self._quarantine.next_release(),
            self._store.is_looking,
            self._builder.is_unprepared,
            self._applier.is_walked,
        )

    async def _do(self, action: Action) -> None:
        match action:
            case Action.CONVERGE:
                await self._converge()
            case Action.SEARCH:
                await self._search()
            case Action.SWEEP:
                await self._sweep()
            case Action.VERIFY:
                await self._verify()
            case Action.PREPARE:
                await self._builder.prepare()
            case Action.RELEASE:
                self._release()
            case _:
                assert_never(action)

    def _release(self) -> None:
        """A policy that was edited has been closed for long enough: try it."""
        now = self._clock.now()
        self._state = self._state.waiting(Burst(now, now))
        self._quarantine.release(self._store.state(), now)

    async def _converge(self) -> None:
        """Bring the cluster as it is now into force."""
        began = self._clock.now()
        burst = self._state.burst or Burst(began, began)
        leftovers = self._applier.holds_leftovers
        self._state = self._state.converging(began, self._timing, leftovers=leftovers)
        self._policy_times = {**self._store.take_policy_times(), **self._policy_times}
        self._taken = self._store.known_pods()
        changes = self._store.take_changes()
        step = await self._follow(changes)
        if step is None or self._check or not await self._bring_step(step, burst, began):
            await self._compile(step, burst, began)
        elif self._good is not None and changes is not None:
            keep_policies(self._good, changes)

    async def _follow(self, changes: list[ObjectChange] | None) -> Step | None:
        """Follow what changed since the last time; None where it has to be compiled.

        What comes before the last group of changes is brought into force.
        """
        groups, attachments = self._builder.groups(changes), self._store.attachments
        for group in groups[:-1]:
            step = await self._builder.follow(group)
            if step is None or (applied := await self._apply_step(step)) is None:
                return None
            self._note_swap(step.ruleset, applied, step.changes)
        return await self._builder.follow(groups[-1], attachments) if groups else None

    async def _bring_step(self, step: Step, burst: Burst, began: float) -> bool:
        """Bring into force what was followed to; False if that failed."""
        applied = await self._apply_step(step)
        if applied is None:
            return False
        self._measure(burst)
        self._succeed(step.ruleset, applied, step.changes)
        self._state = self._state.converged(burst, began, self._clock.now(), self._timing.pacing)
        return True

    async def _apply_step(self, step: Step) -> Applied | None:
        difference = None if step.changes is None else Difference(step.since.table, step.changes)
        try:
            with self._metrics.apply_seconds.time():
                return await self._applier.apply(step.ruleset.table, difference)
        except Exception as error:  # noqa: BLE001 a compilation shows whether it is the cause
            fields = {"event": "follow.unapplied", "reason": _say(error)}
            log.warning("what was followed could not be applied: the cluster is compiled", extra=fields)
            return None

    async def _compile(self, step: Step | None, burst: Burst, began: float) -> None:
        """Compile the cluster, and bring it into force. `step`: what it should come to, if that is known."""
        exact, self._check = self._check, False
        recurs = not exact and self._good is not None  # what comes next may be as dear
        self._builder.stop()
        same = self._store.take_changes() == []  # from here on all that changes comes with the next step
        state, self._taken = self._store.state(), self._store.known_pods()
        closed = self._quarantine.release(state, began)
        built: Build | None = None
        try:
            built = await self._builder.build(state, closed | self._candidates())
            if step is not None and same:
                await asyncio.to_thread(self._builder.compare, step.ruleset, built)
            with self._metrics.apply_seconds.time():
                applied = await self._applier.apply(built.table, exact=exact)
        except Exception as error:  # noqa: BLE001 one policy must not cost the others, whatever it makes us do
            statement = error.statement if isinstance(error, NftRefused) else ""
            self._fall_short(error, Failure(state, closed, _say(error), statement, built), burst)
            self._state = self._state.attempted(self._clock.now(), self._timing.pacing)
        else:
            self._good = dict(state.every_policy)
            if not closed | self._candidates():
                self._builder.start(built, state)
            self._measure(burst)
            self._succeed(built, applied)
            now = self._clock.now()
            began = began if recurs else now
            self._state = self._state.converged(burst, began, now, self._timing.pacing)

    def _candidates(self) -> frozenset[str]:
        return (self._hunt and self._hunt.enough) or frozenset()

    def _fall_short(self, error: Exception, failure: Failure, burst: Burst) -> None:
        """Say what could not be brought into force, and look for the culprits, if policies may be it."""
        self._metrics.applies.labels("failed").inc()
        if failure.built is None:
            self._fail("the cluster could not be compiled", "compile.failed", error, "compile-failing")
        else:
            self._fail("the ruleset could not be applied", "apply.failed", error)
        if self._hunt is not None:
            burst = merge(self._hunt.burst, burst)
            self._hunt = None
        if not may_be_a_policy(error, self.status.failures) or failure.state == self._hopeless:
            self._state = self._state.waiting(burst)
            return
        share = _ATTEMPT_SHARE if isinstance(error, OverLimits) else 1.0
        limits = self._builder.limits(share)
        self._hunt = Hunt(failure, self._good, self._target.node, limits, burst, self._clock.now())
        self._state = self._state.hunting()

    async def _search(self) -> None:
        """Try once more without some of the candidates."""
        hunt = self._hunt
        assert hunt is not None  # noqa: S101 for mypy
        try:
            await hunt.attempt(self._builder.compile, self._applier)
        except (EnvironmentRefused, OSError) as error:
            self._fail("the search for the culprits failed", "hunt.failed", error)
            self._hunt, self._state = None, self._state.waiting(hunt.burst)
        else:
            now = self._clock.now()
            self._state = self._state.tried(now)
            self.status.attempts = hunt.tried
            hunt.bound(now)
            if hunt.over:
                self._end_hunt(hunt)
            elif hunt.enough is not None and not self._applier.holds_ruleset and self._state.burst is None:
                # Nothing is in force: better the candidates closed than all open.
                self._state = self._state.waiting(hunt.burst)

    def _end_hunt(self, hunt: Hunt) -> None:
        self._hunt, self._state = None, self._state.waiting(hunt.burst)
        self.status.attempts = 0
        if not hunt.culprits:
            # Nobody's fault: it went well this time, or it fails no matter what is closed.
            self._hopeless = None if hunt.enough is not None else hunt.failure.state
            self._state = self._state.failed(self._clock.now(), self._pause())
            return
        self._quarantine.add(hunt.culprits, hunt.failure.reason, hunt.failure.state, self._clock.now())
        log_quarantine(hunt.culprits, hunt.failure.reason)

    def _measure(self, burst: Burst) -> None:
        now = self._clock.now()
        self._metrics.programming_seconds.observe(now - burst.first)
        for first in self._policy_times.values():
            self._metrics.policy_seconds.observe(now - first)
        self._policy_times = {}

    def _note_swap(self, built: Ruleset, applied: Applied, changes: Changes | None) -> None:
        """`changes`: how its elements differ from those of what was in force, if nothing else does."""
        known = None if self.status.enforced is None or self.status.failures else changes
        for before in self._replaced(applied):
            for notify in self.on_swap:
                notify(Swap(before, built.table, applied.generation, known))

    def _succeed(self, built: Ruleset, applied: Applied, changes: Changes | None = None) -> None:
        self._note_swap(built, applied, changes)
        status = self.status
        status.trouble, status.failures = "", 0
        candidates = dict.fromkeys(self._candidates(), "closed while the culprit is looked for")
        status.quarantined = {**candidates, **self._quarantine.reasons()}
        too_large = {over.policy: over.sentence for over in built.over}
        if new := too_large.keys() - status.too_large.keys():
            log_quarantine(new, too_large[min(new)])
        status.too_large = too_large
        for warning in sorted(set(built.warnings) - set(status.enforced.warnings if status.enforced else ())):
            log.warning("objects do not go together", extra={"event": "cluster.odd", "reason": warning})
        first = status.enforced is None
        since = self._clock.wall() if applied.steps or status.enforced is None else status.enforced.since
        status.table, status.owners, status.pods = built.table, built.owners, self._taken
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
        for call in self.on_enforced:
            call()

    def _replaced(self, applied: Applied) -> list[Table | None]:
        """The rulesets in whose place another is now: those under which connections may have been opened."""
        status = self.status
        if status.enforced is None:
            return [None]  # everything counts as new: an agent before may not have finished
        found = [applied.before] if applied.steps else []
        # What failed may have been done, and then only reading back shows it.
        return [*found, status.table] if status.failures else found

    def _fail(
        self,
        sentence: str,
        event: str,
        error: Exception,
        name: Literal["apply-failing", "compile-failing"] = "apply-failing",
    ) -> None:
        self.status.trouble, self.status.trouble_name = f"{sentence}: {_say(error)}", name
        self._state = self._state.failed(self._clock.now(), self._pause())
        self.status.failures += 1
        log.error(sentence, extra={"event": event, "reason": _say(error), "failures": self.status.failures})

    def _pause(self) -> float:
        least = self._timing.retry_least
        return max(least, backoff(self.status.failures, self._clock.random(), Pauses(first=least)))

    async def _verify(self) -> None:
        """Compare the kernel with what was applied; what differs is repaired at once."""
        tampered, self._monitor.tampered = self._monitor.tampered, False
        self._state = self._state.verifying(self._clock.now(), self._timing)
        try:
            found = await self._applier.verify(thorough=tampered)
        except Exception as error:  # noqa: BLE001 what cannot be compared is compared again
            self._fail("the ruleset could not be verified", "verify.failed", error)
            self._state = self._state.unverified()
            return
        self.status.verified, self.status.differences = self._clock.wall(), found
        if found:
            self.status.repairs += 1
            self._metrics.drift.inc()
            log.warning(
                "somebody changed the ruleset: repairing it",
                extra={"event": "ruleset.drift", "differences": found[:8]},
            )
            now = self._clock.now()
            self._state = self._state.waiting(Burst(now, now, urgent=True))
        elif self._state.burst is None:
            self.status.trouble, self.status.failures = "", 0
            if self._builder.is_check_due(otherwise=self._applier.is_of_other_size):
                now, self._check = self._clock.now(), True
                self._state = self._state.waiting(Burst(now, now))

    async def _sweep(self) -> None:
        try:
            await self._applier.sweep_soon(self._wake.set)
        except Exception as error:  # noqa: BLE001 what is left is in nobody's way
            self._fail("what is left of the last ruleset could not be removed", "sweep.failed", error)
            self._state = self._state.waiting(Burst(now := self._clock.now(), now))
        else:
            if self._applier.is_walked:
                return
            self._state = self._state.swept(self._clock.now(), self._timing)
            if self._applier.lags:  # to the names that a compilation gives, now that it is quiet
                self._state = self._state.waiting(Burst(now := self._clock.now(), now))


def _say(error: Exception) -> str:
    return str(error) if isinstance(error, PolicydError) else describe(error)
