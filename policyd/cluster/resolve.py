"""(ClusterState, node) → ir.Snapshot: who is selected, who may talk to whom, by address.

A node judges for its own pods only: their egress and their ingress (decisions 17).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, assert_never

from policyd.cluster.findings import Finding, key_of
from policyd.cluster.idle import IdlePeer
from policyd.cluster.index import PodIndex, bits_of, mask_of
from policyd.cluster.origins import origin_of
from policyd.cluster.ownership import Claims, claim_addresses
from policyd.cluster.peers import RuleResolver, SubjectPorts, uses_names
from policyd.cluster.state import ClusterState, MissingNamespaces
from policyd.cluster.written import over_when_counted
from policyd.kube.objects import NAME_LABEL, Namespace, NetworkPolicy, Pod
from policyd.kube.registry import NETWORK_POLICY
from policyd.kube.selectors import matches
from policyd_compiler.budget import UNBOUNDED, Budget, OverBudget
from policyd_compiler.ir import (
    Action,
    Direction,
    Endpoint,
    Isolation,
    Origin,
    Rule,
    Snapshot,
    Stage,
    Tier,
)
from policyd_compiler.layout import Written, lay_out

#: So many of the quarantined policies that select a pod are noted where it is judged.
NAMED_QUARANTINED = 12

#: A pod that claims an endpoint's address, and the numbers of the policies that select the pod, ascending.
Subject: TypeAlias = tuple[Pod, tuple[int, ...]]
#: The numbers of policies that isolate in one direction, and the named ports that they ask for, if any.
Part: TypeAlias = tuple[tuple[int, ...], SubjectPorts | None]


@dataclass(frozen=True, slots=True)
class Resolved:
    """A snapshot, and what was odd in the cluster.

    `warnings` are sentences, `findings` are about addresses. `over` are policies whose rules were not
    resolved, as they would cost more than the budget: they are quarantined. `policies`: how many select pods
    of this node, those that are quarantined among them. Of what it was resolved from: the `claims` of pods,
    and what the `resolver` made of rules.
    """

    snapshot: Snapshot
    warnings: tuple[str, ...]
    findings: tuple[Finding, ...]
    claims: Claims
    resolver: RuleResolver
    over: tuple[OverBudget, ...] = ()
    policies: int = 0

    @property
    def idle(self) -> tuple[IdlePeer, ...]:
        """The peers that select nobody, each with its policy."""
        return tuple((policy, peer) for policy, peer, pods in self.resolver.selecting() if not pods)


def resolve(
    state: ClusterState, node: str, quarantined: frozenset[str] = frozenset(), budget: Budget = UNBOUNDED
) -> Resolved:
    """What a node must enforce.

    Policies in `quarantined` isolate and allow nothing (decisions 8), and so do those that are over the
    budget already when their rules are counted.
    """
    pods = (state.pods[key] for key in sorted(state.pods))
    claims = claim_addresses(pods, (state.nodes[key] for key in sorted(state.nodes)))
    namespaces, missing = _known_namespaces(state)
    index = PodIndex(claims.pods, namespaces)
    resolver = RuleResolver(index, claims)
    # An address that any pod of this node claims is judged here, as all of its claimants (NP-166).
    local = sorted({claims.host_of(claim) for claim, pod in enumerate(claims.pods) if pod.node == node})
    policies = [state.policies[key] for key in sorted(state.policies)]
    subjects = mask_of((claim for host in local for claim in claims.to(host)), len(claims.pods))
    selected, selecting = _select(policies, claims.pods, index, subjects)
    claimants_of = {
        host: [(claims.pods[claim], selected.get(claim, ())) for claim in claims.to(host)] for host in local
    }
    isolations = Isolations(policies, resolver, quarantined)
    over = isolations.close_dear(claimants_of.values(), budget)
    endpoints = []
    for host, claimants in claimants_of.items():
        ingress, egress = isolations.of("ingress", claimants), isolations.of("egress", claimants)
        names = tuple(key_of(pod) for pod, _ in claimants) if len(claimants) > 1 else ()
        addresses = claims.hosts[host]
        endpoints.append(Endpoint(claims.key(host), addresses, ingress, egress, claimants=names))
    ordered = tuple(sorted(endpoints, key=lambda e: e.key))
    snapshot = Snapshot(node, claims.hosts, ordered)
    # Every node hears of it, and the nodes of these pods have a condition.
    told = (*missing, *(finding.text for finding in claims.findings))
    here = tuple(_placed(f, state, node) for f in claims.findings if _is_here(f, state, node))
    return Resolved(snapshot, told, here, claims, resolver, over, selecting)


def _known_namespaces(state: ClusterState) -> tuple[Mapping[str, Namespace], tuple[str, ...]]:
    """Namespaces of which labels are known, and a sentence about each that pods are in and nobody gave."""
    match state.missing_namespaces:
        case MissingNamespaces.UNKNOWN:
            holding = {p.namespace for p in state.pods.values() if p.has_address and not p.terminal}
            return state.namespaces, tuple(
                f"namespace {name} is not known yet; no namespaceSelector matches its pods until it is"
                for name in sorted(holding - set(state.namespaces))
            )
        case MissingNamespaces.NAMED:
            named = {p.namespace for p in state.pods.values()} | {
                p.namespace for p in state.policies.values()
            }
            missing = sorted(named - set(state.namespaces))
            made = {name: Namespace(name, ((NAME_LABEL, name),)) for name in missing}
            return {**state.namespaces, **made}, tuple(
                f"namespace {name} is not among the objects; it is taken to have no label but {NAME_LABEL}"
                for name in missing
            )
        case _:
            assert_never(state.missing_namespaces)


def _is_here(finding: Finding, state: ClusterState, node: str) -> bool:
    return any(state.pods[key].node == node for key in finding.pods)


def _placed(finding: Finding, state: ClusterState, node: str) -> Finding:
    """A pod of this node whose address does not count is open, whatever policies select it (NP-167)."""
    if finding.name != "address-impossible":
        return finding
    pods = [state.pods[key] for key in finding.pods]
    return replace(finding, is_open=any(pod.node == node and _is_selected(pod, state) for pod in pods))


def _is_selected(pod: Pod, state: ClusterState) -> bool:
    labels = dict(pod.labels)
    return any(p.namespace == pod.namespace and matches(p.pods, labels) for p in state.policies.values())


def _select(
    policies: list[NetworkPolicy], pods: Sequence[Pod], index: PodIndex, local: int
) -> tuple[dict[int, tuple[int, ...]], int]:
    """For each of these claims, the numbers of the policies that select its pod, ascending; how many do."""
    selected: dict[int, list[int]] = {}
    count = 0
    here = {pods[bit].namespace for bit in bits_of(local)}
    for number, policy in enumerate(policies):
        if policy.namespace not in here:
            continue
        subjects = local & index.in_namespace(policy.namespace) & index.select(policy.pods)
        count += bool(subjects)
        for bit in bits_of(subjects):
            selected.setdefault(bit, []).append(number)
    return {bit: tuple(numbers) for bit, numbers in selected.items()}, count


class Isolations:
    """Makes isolations, each once: pods with the same policies (and the same named ports) share one."""

    def __init__(
        self, policies: list[NetworkPolicy], resolver: RuleResolver, quarantined: frozenset[str]
    ) -> None:
        self._policies = policies
        self._resolver = resolver
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
        compiled = {direction: [numbers for numbers, _ in found] for direction, found in parts.items()}
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
        for pod, selecting in claimants:
            numbers = tuple(n for n in selecting if getattr(self._policies[n], direction) is not None)
            if not self._quarantined.isdisjoint(numbers):
                numbers = self._without_most_quarantined(numbers)
            if numbers:
                by_name = direction == "ingress" and not self._named.isdisjoint(numbers)
                yield numbers, SubjectPorts(pod.ports) if by_name else None

    def _without_most_quarantined(self, numbers: tuple[int, ...]) -> tuple[int, ...]:
        """A pod is isolated by one as by thousands, which would be noted for each pod."""
        named = [n for n in numbers if n in self._quarantined][:NAMED_QUARANTINED]
        return tuple(n for n in numbers if n not in self._quarantined or n in named)

    def make(self, direction: Direction, parts: tuple[Part, ...]) -> Isolation:
        """Resolve the rules of these parts."""
        stages = [self._stage(direction, numbers, subject or SubjectPorts(())) for numbers, subject in parts]
        # What one claimant is allowed goes on to the next, so that each must allow it (NP-166).
        stages[:-1] = [
            replace(stage, rules=tuple(map(self._resolver.passing, stage.rules))) for stage in stages[:-1]
        ]
        numbers = sorted({number for numbers, _ in parts for number in numbers})
        origins = tuple(map(self._origin, numbers))
        layout = lay_out([self._written(direction, numbers, subject) for numbers, subject in parts])
        return Isolation(direction, origins, tuple(stages), layout)

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
