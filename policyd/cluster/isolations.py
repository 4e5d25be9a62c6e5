"""What governs a direction of the pods of a node: the policies of all tiers that select them, as stages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from policyd.cluster.origins import origin_of
from policyd.cluster.peers import RuleResolver, SubjectPorts, uses_names
from policyd.cluster.tiers import TierPolicies
from policyd.cluster.written import over_when_counted
from policyd.kube.objects import NetworkPolicy, Pod
from policyd.kube.registry import NETWORK_POLICY
from policyd_compiler.budget import Budget, OverBudget
from policyd_compiler.ir import Action, Direction, Isolation, Origin, Rule, Stage, Tier
from policyd_compiler.layout import NO_LAYOUT, Layout, Ordered, Written, lay_out, lay_out_ordered

#: So many of the quarantined policies that select a pod are noted where it is judged.
NAMED_QUARANTINED = 12


@dataclass(frozen=True, slots=True)
class Subject:
    """A pod that claims an endpoint's address, and the numbers of the policies that select it, ascending."""

    pod: Pod
    policies: tuple[int, ...]
    tiers: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """What one claimant is judged by in one direction.

    `numbers` of NetworkPolicies that isolate in it, `tiers` of ClusterNetworkPolicies that have rules for it,
    and the named ports that any of these ask for.
    """

    numbers: tuple[int, ...]
    tiers: tuple[int, ...]
    subject: SubjectPorts | None


class Isolations:
    """Makes isolations, each once: pods with the same policies (and the same named ports) share one."""

    def __init__(
        self,
        policies: list[NetworkPolicy],
        resolver: RuleResolver,
        tiers: TierPolicies,
        quarantined: frozenset[str],
        *,
        laid_out: bool = True,
    ) -> None:
        """`laid_out`: for a ruleset. Who only asks what policies mean has no use for layouts."""
        self._laid_out = laid_out
        self._policies = policies
        self._resolver = resolver
        self._tiers = tiers
        self._quarantined = {
            n
            for n, policy in enumerate(policies)
            if quarantined and NETWORK_POLICY.key(policy) in quarantined
        }
        self._named = frozenset(n for n, policy in enumerate(policies) if uses_names(policy))
        self._known: dict[tuple[Direction, tuple[Part, ...]], Isolation] = {}
        self._origins: dict[int, Origin] = {}

    def close_dear(self, hosts: Iterable[Sequence[Subject]], budget: Budget) -> tuple[OverBudget, ...]:
        """Quarantine what is over the budget before any rule is resolved, and say what that is."""
        parts: dict[Direction, set[Part]] = {"ingress": set(), "egress": set()}
        for claimants in hosts:
            for direction, found in parts.items():
                found.update(self.parts(direction, claimants))
        compiled = {direction: [part.numbers for part in found] for direction, found in parts.items()}
        over = over_when_counted(self._policies, compiled, self._quarantined, budget)
        self._quarantined |= over.keys()
        return tuple(
            OverBudget(NETWORK_POLICY.key(self._policies[n]), sentence)
            for n, sentence in sorted(over.items())
        )

    def of(self, direction: Direction, claimants: Sequence[Subject]) -> Isolation | None:
        """What governs a direction of an address; None where no policy names it that selects a claimant."""
        parts = self.parts(direction, claimants)
        if not parts:
            return None
        known = self._known.get((direction, parts))
        if known is None:
            known = self._known[direction, parts] = self.make(direction, parts)
        return known

    def parts(self, direction: Direction, claimants: Sequence[Subject]) -> tuple[Part, ...]:
        """What the isolation of such an address follows from: equal parts make equal ones."""
        return tuple(dict.fromkeys(self._parts(direction, claimants)))

    def _parts(self, direction: Direction, claimants: Sequence[Subject]) -> Iterator[Part]:
        for each in claimants:
            numbers = tuple(n for n in each.policies if getattr(self._policies[n], direction) is not None)
            if not self._quarantined.isdisjoint(numbers):
                numbers = self._without_most_quarantined(numbers)
            tiers = self._tiers.about(each.tiers, direction) if each.tiers else ()
            if numbers or tiers:
                by_name = not self._named.isdisjoint(numbers) or (
                    bool(tiers) and self._tiers.asks_names(tiers)
                )
                ports = SubjectPorts(each.pod.ports) if direction == "ingress" and by_name else None
                yield Part(numbers, tiers, ports)

    def _without_most_quarantined(self, numbers: tuple[int, ...]) -> tuple[int, ...]:
        """A pod is isolated by one as by thousands, which would be noted for each pod."""
        named = [n for n in numbers if n in self._quarantined][:NAMED_QUARANTINED]
        return tuple(n for n in numbers if n not in self._quarantined or n in named)

    def make(self, direction: Direction, parts: tuple[Part, ...]) -> Isolation:
        """Resolve the rules of these parts."""
        stages = tuple(
            stage for claimant, part in enumerate(parts) for stage in self._stages(direction, part, claimant)
        )
        numbers = sorted({number for part in parts for number in part.numbers})
        of_tiers = sorted({number for part in parts for number in part.tiers})
        # In the order in which they are asked.
        admin = (n for n in of_tiers if self._tiers.of_tier("Admin", (n,)))
        behind = (n for n in of_tiers if self._tiers.of_tier("Baseline", (n,)))
        named = map(self._origin, numbers)
        origins = (*map(self._tiers.origin, admin), *named, *map(self._tiers.origin, behind))
        return Isolation(direction, origins, stages, self._lay_out(direction, parts))

    def _stages(self, direction: Direction, part: Part, claimant: int) -> Iterator[Stage]:
        """What one claimant of an address is judged by; all of them must let a packet pass (NP-166)."""
        subject = part.subject or SubjectPorts(())
        if self._tiers.of_tier("Admin", part.tiers):
            yield replace(self._tiers.stage("Admin", part.tiers, direction, subject), claimant=claimant)
        if part.numbers:
            stage = self._stage(direction, part.numbers, subject)
            if claimant:
                stage = replace(stage, rules=tuple(map(self._resolver.again, stage.rules)), claimant=claimant)
            yield stage
        if self._tiers.of_tier("Baseline", part.tiers):
            yield replace(self._tiers.stage("Baseline", part.tiers, direction, subject), claimant=claimant)

    def _lay_out(self, direction: Direction, parts: tuple[Part, ...]) -> Layout:
        if not self._laid_out:
            return NO_LAYOUT
        layout = lay_out([self._written(direction, part.numbers, part.subject) for part in parts])
        if not any(part.tiers for part in parts):
            return layout
        said = [self._tiers.text(part.tiers, direction, part.subject or SubjectPorts(())) for part in parts]
        isolated = "".join("01"[bool(part.numbers)] for part in parts)
        stages = [
            stage for claimant, part in enumerate(parts) for stage in self._ordered(direction, part, claimant)
        ]
        return lay_out_ordered([direction, isolated, layout.identity, *said], stages)

    def _ordered(self, direction: Direction, part: Part, claimant: int) -> Iterator[Ordered]:
        """What the stages of one claimant say, for a layout."""
        subject = part.subject or SubjectPorts(())
        if self._tiers.of_tier("Admin", part.tiers):
            yield self._tiers.ordered("Admin", part.tiers, direction, subject, claimant)
        if part.numbers:
            written = self._written(direction, part.numbers, part.subject)
            yield Ordered(tuple(("accept", each) for each in written), isolates=True, claimant=claimant)
        if self._tiers.of_tier("Baseline", part.tiers):
            yield self._tiers.ordered("Baseline", part.tiers, direction, subject, claimant)

    def _written(
        self, direction: Direction, numbers: tuple[int, ...], subject: SubjectPorts | None
    ) -> list[Written]:
        """What a stage accepts, for its layout."""
        return [
            written
            for policy in self._following(numbers)
            for written in self._resolver.written(policy, direction, subject or SubjectPorts(()))
        ]

    def _following(self, numbers: tuple[int, ...]) -> Iterator[NetworkPolicy]:
        """The policies of which the rules count."""
        return (self._policies[number] for number in numbers if number not in self._quarantined)

    def _origin(self, number: int) -> Origin:
        known = self._origins.get(number)
        if known is None:
            known = self._origins[number] = origin_of(NETWORK_POLICY, self._policies[number])
        return known

    def _stage(self, direction: Direction, numbers: tuple[int, ...], subject: SubjectPorts) -> Stage:
        rules: list[Rule] = []
        for policy in self._following(numbers):
            rules.extend(
                self._resolver.egress(policy)
                if direction == "egress"
                else self._resolver.ingress(policy, subject)
            )
        # The NetworkPolicy tier is final for an isolated pod: what no rule allows is denied (NP-023, L11).
        return Stage(Tier.NETWORK_POLICY, tuple(rules), Action.DENY)
