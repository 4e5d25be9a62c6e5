"""The agent's metrics, in a registry of their own. Who measures calls a method; how it is counted is here.

Durations are in seconds. docs/operations.md lists every metric, and a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """Everything that /metrics shows."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.build_info = Info(
            "policyd_build", "Version of the agent and how it reaches nft.", registry=registry
        )
        self.enforcing = Gauge(
            "policyd_enforcing",
            "1 while the ruleset in force is what the objects say; 0 when it may not be.",
            registry=registry,
        )
        self.condition = Gauge(
            "policyd_condition",
            "1 for each reason why enforcement may be untrue at the moment.",
            ["condition"],
            registry=registry,
        )
        self.generation = Gauge(
            "policyd_generation", "Generation of the ruleset in force.", registry=registry
        )
        self.applies = Counter(
            "policyd_apply", "Attempts to bring a ruleset into force.", ["result"], registry=registry
        )
        self.apply_seconds = self._histogram(
            "policyd_apply_duration_seconds", "From a compiled ruleset to its commit."
        )
        self.compile_seconds = self._histogram("policyd_compile_duration_seconds", "One compilation.")
        self.programming_seconds = self._histogram(
            "policyd_network_programming_duration_seconds",
            "From the first event of a burst to the commit of the ruleset that holds it.",
        )
        self.policy_seconds = self._histogram(
            "policyd_policy_programming_duration_seconds",
            "From the event of a NetworkPolicy to the commit of the ruleset that holds it.",
        )
        self.size = Gauge(
            "policyd_ruleset_size", "What the ruleset in force consists of.", ["part"], registry=registry
        )
        self.policies = Gauge(
            "policyd_policies",
            "Policies that select pods of this node, by state.",
            ["state"],
            registry=registry,
        )
        self.pods = Gauge("policyd_local_pods", "Pods of this node that hold an address.", registry=registry)
        self.isolated = Gauge(
            "policyd_isolated_pods", "Those of them that a policy selects.", registry=registry
        )
        self.objects = Gauge("policyd_objects", "Objects known, by kind.", ["kind"], registry=registry)
        self.mistaken = Gauge(
            "policyd_mistaken_objects",
            "Objects that are not wholly understood, by kind.",
            ["kind"],
            registry=registry,
        )
        self.staleness = Gauge(
            "policyd_watch_staleness_seconds",
            "How long ago the objects of a kind were known to be complete.",
            ["kind"],
            registry=registry,
        )
        self.restarts = Gauge(
            "policyd_watch_restarts",
            "Ends of lists and watches so far.",
            ["kind", "reason"],
            registry=registry,
        )
        self.drift = Counter(
            "policyd_drift_repairs", "Times that somebody else had changed the ruleset.", registry=registry
        )
        self.verified = Gauge(
            "policyd_last_verification_timestamp_seconds",
            "When the kernel was last compared with the ruleset.",
            registry=registry,
        )

    def _histogram(self, name: str, text: str) -> Histogram:
        return Histogram(name, text, buckets=_FAST, registry=self.registry)

    def set_conditions(self, conditions: Mapping[str, bool]) -> None:
        """What may make enforcement untrue, by name; `enforcing` is none of them."""
        for name, holds in conditions.items():
            self.condition.labels(name).set(holds)
        self.enforcing.set(not any(conditions.values()))

    def render(self) -> bytes:
        """The text format."""
        return generate_latest(self.registry)
