"""What the agent reports of itself: conditions, metrics and state, gathered from its parts when asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from policyd.agent.reporting.conditions import NAMES, NOTHING_ENFORCED, Condition
from policyd.agent.reporting.governed import governed
from policyd.agent.reporting.status import AgentStatus, Known
from policyd.agent_api import (
    AgentState,
    InterfaceCount,
    JudgedInside,
    KnownObjects,
    OwnPods,
    PolicyFindings,
    Proven,
    ReportedCondition,
    RulesetInForce,
)
from policyd.cluster.attachments import attachments_json
from policyd.config import Settings
from policyd.kube.encode import encode_list
from policyd.object_store import ObjectStore
from policyd.obs.log import recent_lines
from policyd.obs.metrics import Metrics
from policyd.threads import Threads
from policyd_compiler.nft.printer import print_replace
from policyd_compiler.nft.stamp import stamp


class Part(Protocol):
    """One of the agent's tasks, alongside the reconciler."""

    async def run(self) -> None:
        """Work until cancelled."""

    def conditions(self) -> tuple[Condition, ...]:
        """What is not as it should be."""


class Source(Part, Protocol):
    """Where objects come from: the API server, or a directory."""

    def known(self) -> tuple[Known, ...]:
        """What is known of each kind of objects."""

    def report(self, metrics: Metrics) -> None:
        """Bring the metrics up to date."""


class Enforcer(Protocol):
    """The loop that brings rulesets into force."""

    @property
    def status(self) -> AgentStatus:
        """What is in force, and what keeps other things from being so."""

    @property
    def holds_ruleset(self) -> bool:
        """Whether a ruleset of policyd is known to be in force."""

    def conditions(self) -> tuple[Condition, ...]:
        """What is not as it should be."""


class Reporter:
    """Reads everybody and changes nobody."""

    def __init__(
        self,
        settings: Settings,
        store: ObjectStore,
        reconciler: Enforcer,
        source: Source,
        parts: Iterable[Part],
        metrics: Metrics,
    ) -> None:
        self._settings, self._metrics = settings, metrics
        self._threads = Threads("report")
        self._store, self._reconciler, self._source = store, reconciler, source
        self._parts: tuple[Part, ...] = (source, *parts)
        #: What is certainly wrong with policies, by whoever looks them over.
        self.findings: Callable[[], Mapping[str, object]] = dict
        #: The pods that are judged in their own network namespaces.
        self.inside: Callable[[], Mapping[str, object]] = dict
        #: By whose word this node's pods are known.
        self.own_pods: Callable[[], Mapping[str, object]] = dict
        #: What was proved of the ruleset in force, and when.
        self.proof: Callable[[], Mapping[str, object]] = dict

    def add(self, parts: Iterable[Part]) -> None:
        """Read these, too: those that it reports to."""
        self._parts += tuple(parts)

    def conditions(self) -> tuple[Condition, ...]:
        """Everything that is not as it should be."""
        found = list(self._reconciler.conditions())
        if not self._reconciler.holds_ruleset:
            found.append(Condition("nothing-enforced", NOTHING_ENFORCED))
        for part in self._parts:
            found.extend(part.conditions())
        return tuple(found)

    def unready(self) -> tuple[tuple[str, str], ...]:
        """What degrades enforcement, by name, with a sentence each."""
        return tuple((c.name, c.text) for c in self.conditions() if c.degraded)

    def render_metrics(self) -> bytes:
        """The metrics as they are now, in Prometheus' text format."""
        conditions = self.conditions()
        self._metrics.set_conditions({name: any(c.name == name for c in conditions) for name in NAMES})
        self._metrics.enforcing.set(not any(c.degraded for c in conditions))
        self._metrics.kubelet_followed.set(bool(self.own_pods().get("kubelet")))
        self._source.report(self._metrics)
        self._reconciler.status.report(self._metrics)
        return self._metrics.render()

    def ruleset(self) -> str:
        """The script of what is in force: what `policyd compile --live --generation N` prints."""
        status = self._reconciler.status
        if status.table is None or status.enforced is None:
            return ""
        return print_replace(stamp(status.table, status.enforced.generation))

    def state(self) -> AgentState:
        """What a person, or `policyd status`, wants to know."""
        status = self._reconciler.status
        enforced = status.enforced
        # Each by its name, so that mypy finds what the model does not have.
        return AgentState(
            settings=self._settings.model_dump(mode="json"),
            conditions=tuple(map(ReportedCondition.model_validate, self.conditions())),
            enforced=RulesetInForce.model_validate(enforced) if enforced else None,
            quarantined={**status.too_large, **status.quarantined},
            repairs=status.repairs,
            rulesets_made={**status.made},
            not_followed={**status.not_followed},
            verified=status.verified,
            waiting_for=self._store.waiting_for,
            objects=tuple(map(KnownObjects.model_validate, self._source.known())),
            interfaces=self._count_interfaces(),
            inside=JudgedInside.model_validate(self.inside()),
            own_pods=OwnPods.model_validate(self.own_pods()),
            findings=PolicyFindings.model_validate(self.findings()),
            pods=tuple(governed(status.pods, status.table, status.owners)),
            proof=Proven.model_validate(self.proof()),
        )

    async def objects(self) -> str:
        """What is known of the cluster: a `kind: List`, of which `policyd compile` makes the same ruleset."""
        state = self._store.state()
        # It takes a while for ten thousand pods, and a caller must not take a thread from enforcement.
        return await self._threads.run(lambda: json.dumps(encode_list(state.objects()), ensure_ascii=False))

    def _count_interfaces(self) -> InterfaceCount:
        """How many pods of this node are bound, and by what."""
        pods = [pod for pod in self._store.local_pods() if pod.addresses]
        found = [self._store.attachments.pods.get(pod.key) for pod in pods]
        ports = sum(1 for each in found if each is not None and each.bridge)
        unbound = found.count(None)
        return InterfaceCount(ports=ports, links=len(found) - ports - unbound, unbound=unbound)

    def attachments(self) -> dict[str, object]:
        """What is known of this node's interfaces, as `policyd compile --attachments` reads it."""
        return attachments_json(self._store.attachments)

    def log(self) -> str:
        """The last lines of the log, as JSON."""
        return "".join(f"{line}\n" for line in recent_lines())
