"""(ClusterState, node) → ir.Snapshot: who is selected, who may talk to whom, by address.

A node judges for its own pods only: their egress and their ingress (decisions, finer points).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from policyd.cluster.index import PodIndex, bits_of, mask_of
from policyd.cluster.ownership import own_addresses
from policyd.cluster.peers import RuleResolver, SubjectPorts, uses_names
from policyd.cluster.state import ClusterState
from policyd.kube.objects import Namespace, NetworkPolicy, Pod
from policyd_compiler.ir import (
    Action,
    Direction,
    Endpoint,
    Host,
    Isolation,
    Origin,
    Rule,
    Snapshot,
    Stage,
    Tier,
)

#: The label that the API server gives every Namespace, and that cannot be changed (NP-040).
NAME_LABEL = "kubernetes.io/metadata.name"


@dataclass(frozen=True, slots=True)
class Resolved:
    """A snapshot, and sentences about what was odd in the cluster."""

    snapshot: Snapshot
    warnings: tuple[str, ...]


def resolve(state: ClusterState, node: str, quarantined: frozenset[str] = frozenset()) -> Resolved:
    """What a node must enforce. Policies in `quarantined` isolate and allow nothing (decisions 8)."""
    owned = own_addresses(state.pods[key] for key in sorted(state.pods))
    namespaces, missing = _with_missing_namespaces(state)
    index = PodIndex(owned.pods, namespaces)
    resolver = RuleResolver(index, owned.hosts)
    local = [bit for bit, pod in enumerate(owned.pods) if pod.node == node]
    policies = [state.policies[key] for key in sorted(state.policies)]
    isolations = _Isolations(policies, resolver, quarantined)
    selected = _select(policies, index, mask_of(local, len(owned.pods)))
    endpoints = [
        _endpoint(owned.pods[bit], owned.hosts[bit], isolations, selected.get(bit, ())) for bit in local
    ]
    ordered = tuple(sorted(endpoints, key=lambda e: e.key))
    snapshot = Snapshot(node, owned.hosts, ordered, groups=resolver.groups())
    return Resolved(snapshot, (*missing, *owned.conflicts))


def _with_missing_namespaces(state: ClusterState) -> tuple[Mapping[str, Namespace], tuple[str, ...]]:
    """Namespaces that pods or policies name but nobody gave: with the one label that is certain (NP-040)."""
    named = {p.namespace for p in state.pods.values()} | {p.namespace for p in state.policies.values()}
    missing = sorted(named - set(state.namespaces))
    if not missing:
        return state.namespaces, ()
    made = {name: Namespace(name, ((NAME_LABEL, name),)) for name in missing}
    warnings = tuple(
        f"namespace {name} is not among the objects; it is taken to have no label but {NAME_LABEL}"
        for name in missing
    )
    return {**state.namespaces, **made}, warnings


def _select(policies: list[NetworkPolicy], index: PodIndex, local: int) -> dict[int, tuple[int, ...]]:
    """For each local pod's bit, the numbers of the policies that select it, ascending."""
    selected: dict[int, list[int]] = {}
    for number, policy in enumerate(policies):
        subjects = local & index.in_namespace(policy.namespace) & index.select(policy.pods)
        for bit in bits_of(subjects):
            selected.setdefault(bit, []).append(number)
    return {bit: tuple(numbers) for bit, numbers in selected.items()}


def _endpoint(pod: Pod, host: Host, isolations: _Isolations, selecting: tuple[int, ...]) -> Endpoint:
    return Endpoint(
        f"{pod.namespace}/{pod.name}",
        host,
        isolations.of("ingress", selecting, pod),
        isolations.of("egress", selecting, pod),
    )


class _Isolations:
    """Makes isolations, each once: pods with the same policies (and the same named ports) share one."""

    def __init__(
        self, policies: list[NetworkPolicy], resolver: RuleResolver, quarantined: frozenset[str]
    ) -> None:
        self._policies = policies
        self._resolver = resolver
        self._quarantined = quarantined
        self._named = frozenset(n for n, policy in enumerate(policies) if uses_names(policy))
        self._known: dict[tuple[Direction, tuple[int, ...], SubjectPorts | None], Isolation] = {}

    def of(self, direction: Direction, selecting: tuple[int, ...], pod: Pod) -> Isolation | None:
        """What governs a direction of a pod; None where no policy that selects it names the direction."""
        numbers = tuple(n for n in selecting if getattr(self._policies[n], direction) is not None)
        if not numbers:
            return None
        by_name = direction == "ingress" and not self._named.isdisjoint(numbers)
        subject = SubjectPorts(pod.ports) if by_name else None
        key = (direction, numbers, subject)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._make(direction, numbers, subject or SubjectPorts(()))
        return known

    def _make(self, direction: Direction, numbers: tuple[int, ...], subject: SubjectPorts) -> Isolation:
        rules: list[Rule] = []
        for number in numbers:
            policy = self._policies[number]
            if f"{policy.namespace}/{policy.name}" in self._quarantined:
                continue
            rules.extend(
                self._resolver.egress(policy)
                if direction == "egress"
                else self._resolver.ingress(policy, subject)
            )
        # The NetworkPolicy tier is final for an isolated pod: what no rule allows is denied (NP-023, L11).
        stage = Stage(Tier.NETWORK_POLICY, tuple(rules), Action.DENY)
        return Isolation(direction, tuple(_origin(self._policies[n]) for n in numbers), (stage,))


def _origin(policy: NetworkPolicy) -> Origin:
    source = policy.source
    return Origin(
        "NetworkPolicy",
        policy.namespace,
        policy.name,
        "",
        source.file if source else "",
        source.line if source else 0,
    )
