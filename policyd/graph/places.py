"""Which pods of this node are under which policies: their endpoints, and of what their isolations follow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from policyd.cluster.findings import key_of
from policyd.cluster.isolations import Isolations, Part, Subject
from policyd.cluster.ownership import address_order
from policyd.cluster.peers import RuleResolver
from policyd.cluster.tiers import NO_TIERS
from policyd.graph.claims import Row
from policyd.graph.units import Source, UnitKey
from policyd.kube.objects import Labels, NetworkPolicy, Pod
from policyd.kube.registry import NETWORK_POLICY
from policyd.kube.selectors import matches
from policyd_compiler.budget import Budget
from policyd_compiler.ir import Direction
from policyd_compiler.one_host import CannotTell

DIRECTIONS: tuple[Direction, ...] = ("ingress", "egress")


class Policies:
    """All NetworkPolicies, by namespace; which of them select a pod."""

    def __init__(self, policies: Iterable[NetworkPolicy]) -> None:
        self._by_namespace: dict[str, dict[str, NetworkPolicy]] = {}
        for policy in policies:
            self._by_namespace.setdefault(policy.namespace, {})[policy.name] = policy
        self._known: dict[str, dict[Labels, tuple[NetworkPolicy, ...]]] = {}

    def change(self, before: NetworkPolicy | None, after: NetworkPolicy | None) -> None:
        """A policy was, and is now."""
        for policy in (before, after):
            if policy is not None:
                self._known.pop(policy.namespace, None)
        if before is not None:
            self._by_namespace.get(before.namespace, {}).pop(before.name, None)
        if after is not None:
            self._by_namespace.setdefault(after.namespace, {})[after.name] = after

    def selecting(self, pod: Pod) -> tuple[NetworkPolicy, ...]:
        """The policies that select a pod, by name."""
        known = self._known.setdefault(pod.namespace, {})
        found = known.get(pod.labels)
        if found is None:
            labels = dict(pod.labels)
            there = self._by_namespace.get(pod.namespace, {})
            found = tuple(there[name] for name in sorted(there) if matches(there[name].pods, labels))
            known[pod.labels] = found
        return found


#: A host of this node, and what the isolation of each direction follows from; none where it is open.
Place: TypeAlias = tuple[Row, Mapping[Direction, tuple[Part, ...]]]


@dataclass(frozen=True, slots=True)
class Selected:
    """The hosts of this node in the order of their addresses; who makes their isolations.

    `policies`: how many select any.
    """

    places: tuple[Place, ...]
    isolations: Isolations
    policies: tuple[NetworkPolicy, ...]
    closed: frozenset[str]

    def source(self, direction: Direction, parts: tuple[Part, ...]) -> Source:
        """What names an isolation in every ruleset, and not in this one alone."""
        followed = tuple(
            tuple(p for n in part.numbers if NETWORK_POLICY.key(p := self.policies[n]) not in self.closed)
            for part in parts
        )
        key: UnitKey = (
            direction,
            tuple((tuple(id(self.policies[n]) for n in part.numbers), part.subject) for part in parts),
        )
        return Source(key, followed)


def select(
    rows: Iterable[Row],
    policies: Policies,
    resolver: RuleResolver,
    closed: frozenset[str],
    budget: Budget,
) -> Selected:
    """Ask for all hosts of this node. Raises CannotTell where policies are over their budget."""
    ordered = sorted(rows, key=lambda row: address_order(row.host))
    asked = {key_of(pod): policies.selecting(pod) for row in ordered for pod in row.pods}
    found = {NETWORK_POLICY.key(policy): policy for many in asked.values() for policy in many}
    numbers = {key: number for number, key in enumerate(sorted(found))}
    chosen = tuple(found[key] for key in numbers)
    isolations = Isolations(list(chosen), resolver, NO_TIERS, closed)

    def subjects(row: Row) -> Iterator[Subject]:
        for pod in row.pods:
            yield Subject(pod, tuple(numbers[NETWORK_POLICY.key(p)] for p in asked[key_of(pod)]))

    claimants: list[Sequence[Subject]] = [tuple(subjects(row)) for row in ordered]
    if isolations.close_dear(claimants, budget):
        raise CannotTell("policies are over their budget")
    places = tuple(
        (row, {d: parts for d in DIRECTIONS if (parts := isolations.parts(d, many))})
        for row, many in zip(ordered, claimants, strict=True)
    )
    return Selected(places, isolations, chosen, closed)
