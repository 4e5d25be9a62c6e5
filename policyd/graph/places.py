"""Which pods of this node are under which policies: their endpoints, and of what their isolations follow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from policyd.cluster.findings import key_of
from policyd.cluster.isolations import Isolations, Part, Subject
from policyd.cluster.ownership import address_order
from policyd.cluster.peers import RuleResolver
from policyd.cluster.tiers import TierPolicies
from policyd.graph.claims import Row
from policyd.graph.tiers import Tiers
from policyd.graph.units import Source, UnitKey
from policyd.kube.objects import ClusterNetworkPolicy, Labels, NetworkPolicy, Pod
from policyd.kube.selectors import matches
from policyd_compiler.budget import Budget
from policyd_compiler.ir import Direction
from policyd_compiler.one_host import CannotTell

DIRECTIONS: tuple[Direction, ...] = ("ingress", "egress")


class Policies:
    """All NetworkPolicies, by namespace; which of them select a pod. And `tiers`, before and behind them."""

    def __init__(self, policies: Iterable[NetworkPolicy], tiers: Tiers) -> None:
        self.tiers = tiers
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


@dataclass(frozen=True, slots=True)
class Asked:
    """Who makes the isolations of some hosts, and what those follow from: new ones are among them."""

    isolations: Isolations
    parts: Mapping[UnitKey, tuple[Part, ...]]


class Places:
    """The hosts of this node, and what the isolation of each direction follows from.

    Hosts are asked for again where policies of their namespaces, or pods there, change.
    """

    def __init__(self, policies: Policies, node: str, closed: frozenset[str], budget: Budget) -> None:
        self._policies, self._node, self._closed, self._budget = policies, node, closed, budget
        #: By key, which is that of the endpoint.
        self.rows: dict[str, Row] = {}
        #: By key; of a direction that is open there is none.
        self.sources: dict[str, dict[Direction, Source]] = {}
        self._selected: dict[str, frozenset[str]] = {}
        self._uses: Counter[str] = Counter()

    @property
    def selecting(self) -> int:
        """How many policies select any of these."""
        return len(self._uses)

    def in_order(self) -> list[str]:
        """The keys, in the order of endpoints."""
        return sorted(self.rows)

    def by_address(self) -> list[str]:
        """The keys, in the order in which a build resolves what isolates them."""
        return sorted(self.rows, key=lambda key: address_order(self.rows[key].host))

    def spaces(self) -> set[str]:
        """The namespaces of their pods."""
        return {pod.namespace for row in self.rows.values() for pod in row.pods}

    def move(self, gone: Iterable[Row], come: Iterable[Row]) -> set[str]:
        """Hosts go and come: the namespaces of those that are of this node."""
        spaces: set[str] = set()
        for row in gone:
            if self.rows.pop(row.key, None) is not None:
                self.sources.pop(row.key, None)
                self._uses.subtract(self._selected.pop(row.key, ()))
                spaces.update(pod.namespace for pod in row.pods)
        for row in come:
            if any(pod.node == self._node for pod in row.pods):
                self.rows[row.key] = row
                spaces.update(pod.namespace for pod in row.pods)
        return spaces

    def ask(self, spaces: set[str], resolver: RuleResolver, tiers: TierPolicies) -> Asked:
        """Ask for the hosts with pods in these namespaces. Raises CannotTell if policies are over budget."""
        rows = self._near(spaces)
        asked = {key_of(pod): self._policies.selecting(pod) for row in rows for pod in row.pods}
        found = {_key(policy): policy for many in asked.values() for policy in many}
        numbers = {key: number for number, key in enumerate(sorted(found))}
        chosen = [found[key] for key in numbers]
        isolations = Isolations(chosen, resolver, tiers, self._closed)
        claimants: list[Sequence[Subject]] = [
            tuple(
                Subject(
                    pod,
                    tuple(numbers[_key(p)] for p in asked[key_of(pod)]),
                    self._policies.tiers.selecting(pod),
                )
                for pod in row.pods
            )
            for row in rows
        ]
        if isolations.close_dear(claimants, self._budget):
            raise CannotTell("policies are over their budget")
        sources: dict[tuple[Direction, tuple[Part, ...]], Source] = {}
        parts_of: dict[UnitKey, tuple[Part, ...]] = {}
        for row, many in zip(rows, claimants, strict=True):
            of_row = self.sources[row.key] = {}
            for direction in DIRECTIONS:
                if parts := isolations.parts(direction, many):
                    if (direction, parts) not in sources:
                        sources[direction, parts] = self._source(direction, parts, chosen, tiers.written)
                    of_row[direction] = source = sources[direction, parts]
                    parts_of[source.key] = parts
            of_tiers = (tiers.written[n].name for subject in many for n in subject.tiers)
            selected = frozenset(
                (*(_key(policy) for pod in row.pods for policy in asked[key_of(pod)]), *of_tiers)
            )
            self._uses.subtract(self._selected.get(row.key, ()))
            self._uses.update(selected)
            self._selected[row.key] = selected
        self._uses = +self._uses
        return Asked(isolations, parts_of)

    def _near(self, spaces: set[str]) -> list[Row]:
        """The hosts with pods in these namespaces, and whoever shares policies with them, too."""
        while True:
            rows = [row for row in self.rows.values() if any(pod.namespace in spaces for pod in row.pods)]
            all_ = {pod.namespace for row in rows for pod in row.pods}
            if all_ <= spaces:
                return rows
            spaces = spaces | all_

    def _source(
        self,
        direction: Direction,
        parts: tuple[Part, ...],
        policies: Sequence[NetworkPolicy],
        tiers: Sequence[ClusterNetworkPolicy],
    ) -> Source:
        """What names an isolation in every ruleset, and not in this one alone."""
        followed = tuple(
            tuple(p for n in part.numbers if _key(p := policies[n]) not in self._closed) for part in parts
        )
        key: UnitKey = (
            direction,
            tuple(
                (
                    tuple(id(policies[n]) for n in part.numbers),
                    tuple(id(tiers[n]) for n in part.tiers),
                    part.subject,
                )
                for part in parts
            ),
        )
        # All of them, as the key says which by their identity.
        named = tuple(policies[n] for part in parts for n in part.numbers)
        return Source(key, followed, named, tuple(tiers[n] for part in parts for n in part.tiers))


def _key(policy: NetworkPolicy) -> str:
    return f"{policy.namespace}/{policy.name}"
