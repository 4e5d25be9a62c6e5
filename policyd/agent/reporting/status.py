"""What the agent knows of itself, as values: for its log, its readiness, and its callers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from policyd.cluster.findings import Finding
from policyd.node.attach import KnownPods
from policyd.obs.metrics import Metrics
from policyd.pipeline import Stats
from policyd_compiler.delta import Changes
from policyd_compiler.nft.ast import Table


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a kind of objects: how many, and by key what in them is not understood.

    `stale_seconds` is how long ago that was known to be complete; None where there is no saying.
    """

    kind: str
    count: int
    stale_seconds: float | None = None
    mistakes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Enforced:
    """The ruleset in force: its generation, since when (wall clock, seconds), and what it holds."""

    generation: int
    since: float
    stats: Stats
    warnings: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Swap:
    """One ruleset took the place of another. `before` is None where nothing is known of what was there.

    `changes`: the elements that differ, where it is known that nothing else does.
    """

    before: Table | None
    after: Table
    generation: int
    changes: Changes | None = None


@dataclass(slots=True)
class AgentStatus:
    """Changes as the agent goes; read by others, written by the reconciler only."""

    enforced: Enforced | None = None
    table: Table | None = None
    #: For each of its chains, the policies that it serves.
    owners: Mapping[str, frozenset[str]] = field(default_factory=dict)
    #: This node's pods, as the ruleset in force has them.
    pods: KnownPods = field(default_factory=dict)
    #: What keeps the ruleset from being what the objects say; empty when all is well.
    trouble: str = ""
    #: Which condition `trouble` is.
    trouble_name: Literal["apply-failing", "compile-failing"] = "apply-failing"
    #: Attempts so far to find the culprit policies; 0 while none are looked for.
    attempts: int = 0
    #: When the compilation under way began (monotonic clock); None while there is none.
    compiling: float | None = None
    #: Policies that could not be brought into force, and why: they isolate their pods and allow nothing.
    quarantined: Mapping[str, str] = field(default_factory=dict)
    #: The same for policies that cost more than their budget.
    too_large: Mapping[str, str] = field(default_factory=dict)
    #: Rulesets made: `built` by a compilation, `followed`, and `wrong` ones among these.
    made: dict[str, int] = field(default_factory=dict)
    #: Why a change was compiled that came when changes were followed, and how often.
    not_followed: dict[str, int] = field(default_factory=dict)
    failures: int = 0
    applies: int = 0
    repairs: int = 0
    verified: float = 0.0
    differences: tuple[str, ...] = field(default=())

    def report(self, metrics: Metrics) -> None:
        """Bring the metrics up to date."""
        metrics.verified.set(self.verified)
        metrics.policies.labels("quarantined").set(len(self.quarantined) + len(self.too_large))
        if self.enforced is None:
            return
        stats = self.enforced.stats
        metrics.generation.set(self.enforced.generation)
        metrics.pods.set(stats.pods)
        metrics.isolated.set(stats.isolated)
        metrics.policies.labels("enforced").set(stats.policies - len(self.quarantined) - len(self.too_large))
        for part in ("chains", "rules", "sets", "elements"):
            metrics.size.labels(part).set(getattr(stats, part))
