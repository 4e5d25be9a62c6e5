"""Looks policies over when they have changed: what is certainly wrong with them is counted and named.

A task of its own, with a thread of its own, and at a hundredth of a processor at most. It decides nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping

from policyd.agent.clock import CLOCK, Clock
from policyd.agent.memory import give_back
from policyd.agent.reporting.conditions import Condition
from policyd.agent.sparing import look_when_changed
from policyd.cluster.state import ClusterState
from policyd.kube.objects import KubeObject
from policyd.lint.certain import RULES, certain_findings, counted
from policyd.lint.finding import Finding
from policyd.obs.metrics import Metrics
from policyd.threads import Threads

log = logging.getLogger(__name__)

#: Findings that are named; the rest is counted.
NAMED = 20

Look = Callable[[Iterable[KubeObject]], tuple[Finding, ...]]


class PolicyCheck:
    """What was found last; `run` is its only task.

    `changes` counts changes of policies, and is None until all objects are known.
    """

    def __init__(
        self,
        changes: Callable[[], int | None],
        state: Callable[[], ClusterState],
        metrics: Metrics,
        clock: Clock = CLOCK,
        look: Look = certain_findings,
    ) -> None:
        self._changes, self._state = changes, state
        self._metrics, self._clock, self._look = metrics, clock, look
        self._threads = Threads("policies")
        self.findings: tuple[Finding, ...] = ()
        for rule in RULES:
            metrics.findings.labels(rule).set(0)

    def conditions(self) -> tuple[Condition, ...]:
        """None: a policy that is written wrongly is enforced as it is written."""
        return ()

    async def run(self) -> None:
        """Look whenever a policy has changed, until cancelled."""
        await look_when_changed(self._changes, self._look_over, self._clock)

    async def _look_over(self) -> None:
        objects = tuple(self._state().objects())
        found = await self._threads.run(self._look, objects)
        await self._threads.run(give_back)
        for rule, count in counted(found).items():
            self._metrics.findings.labels(rule).set(count)
        new = set(found) - set(self.findings)
        self.findings = found
        for finding in [each for each in found if each in new][:NAMED]:
            fields = {
                "event": "policy.suspicious",
                "rule": finding.rule,
                "policy": str(finding.object),
                "reason": finding.sentence,
            }
            log.warning("a policy means something else than it seems to", extra=fields)

    def state(self) -> Mapping[str, object]:
        """For whoever asks the agent: how many findings, and the first of them in sentences."""
        named = [f"{finding.rule} {finding.sentence}" for finding in self.findings[:NAMED]]
        return {"count": len(self.findings), "named": named}
