"""The agent's metrics, in a registry of their own. Who measures calls a method; how it is counted is here.

Durations are in seconds. docs/operations.md lists every metric, and a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """Everything that /metrics shows."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.build_info = Info(
            "policyd_build", "The agent's version, and how it reaches nft.", registry=self.registry
        )
        self._of_enforcement()
        self._of_objects()
        self.applies = self._counter("apply", "Attempts to bring a ruleset into force.", "result")
        self.made = self._counter(
            "rulesets_made",
            "Rulesets made: by a compilation, or by following what changed; and wrong ones among these.",
            "way",
        )
        self.drift = self._counter("drift_repairs", "Times that somebody else had changed the ruleset.")
        self.revoked = self._counter("connections_ended", "Live connections that a change denied.")
        self.starts = self._counter("pod_starts", "Pods that asked policyd-cni for leave to start.", "result")
        self.start_seconds = self._histogram(
            "pod_start_wait", "From the question of a pod that starts to the leave to go on."
        )
        self.compile_seconds = self._histogram("compile_duration", "One compilation.")
        self.apply_seconds = self._histogram("apply_duration", "From a compiled ruleset to its commit.")
        self.programming_seconds = self._histogram(
            "network_programming_duration",
            "From the first event of a burst to the commit of the ruleset that holds it.",
        )
        self.policy_seconds = self._histogram(
            "policy_programming_duration",
            "From the event of a NetworkPolicy to the commit of the ruleset that holds it.",
        )

    def _of_enforcement(self) -> None:
        self.enforcing = self._gauge(
            "enforcing", "1 while what is in force is what the objects say, 0 if it may not."
        )
        self.condition = self._gauge(
            "condition", "1 for each thing that is not as it should be.", "condition"
        )
        self.generation = self._gauge("generation", "Generation of the ruleset in force.")
        self.size = self._gauge("ruleset_size", "What the ruleset in force consists of.", "part")
        self.policies = self._gauge("policies", "Policies that select pods of this node, by state.", "state")
        self.findings = self._gauge(
            "findings", "What is certainly wrong with policies of the cluster, by rule of lint.", "rule"
        )
        self.proved = self._gauge(
            "proof", "1 if the last proof showed the ruleset to be what the policies mean, 0 if it did not."
        )
        self.proof_time = self._gauge(
            "last_proof_timestamp_seconds", "When a ruleset in force was last compared with its policies."
        )
        self.proofs = self._counter(
            "proofs", "Rulesets compared with their policies: all of one, or what had changed.", "extent"
        )
        self.proof_seconds = self._counter("proof_cpu_seconds", "What proofs took of a processor.")
        self.pods = self._gauge("local_pods", "Pods of this node that hold an address.")
        self.isolated = self._gauge("isolated_pods", "Those of them that a policy selects.")
        self.inside = self._gauge(
            "pod_namespaces",
            "Pods that are judged in their own network namespaces; enforced: their rules are in force.",
            "state",
        )
        self.verified = self._gauge(
            "last_verification_timestamp_seconds", "When the kernel was last compared with the ruleset."
        )

    def _of_objects(self) -> None:
        self.objects = self._gauge("objects", "Objects known.", "kind")
        self.mistaken = self._gauge("mistaken_objects", "Objects that are not fully understood.", "kind")
        self.staleness = self._gauge(
            "watch_staleness_seconds", "How long ago the objects of a kind were known to be complete.", "kind"
        )
        self.kubelet_followed = self._gauge(
            "kubelet_followed", "1 while this node's pods are known by the kubelet's word, too."
        )
        self.restarts = self._counter("watch_restarts", "Ends of lists and watches.", "kind", "reason")
        self._restarts: dict[tuple[str, str], int] = {}

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"policyd_{name}", text, labels, registry=self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"policyd_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str) -> Histogram:
        return Histogram(f"policyd_{name}_seconds", text, buckets=_BUCKETS, registry=self.registry)

    def set_conditions(self, conditions: Mapping[str, bool]) -> None:
        """Which conditions hold, by name: every name there is."""
        for name, holds in conditions.items():
            self.condition.labels(name).set(holds)

    def count_restarts(self, kind: str, restarts: Iterable[tuple[str, int]]) -> None:
        """How often lists and watches of a kind have ended so far, by reason; each number only grows."""
        for reason, number in restarts:
            known = self._restarts.get((kind, reason), 0)
            self.restarts.labels(kind, reason).inc(number - known)
            self._restarts[kind, reason] = number

    def render(self) -> bytes:
        """The text format."""
        return generate_latest(self.registry)
