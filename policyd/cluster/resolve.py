"""(ClusterState, node) → ir.Snapshot: who is selected, who may talk to whom, by address.

A node judges for its own pods only: their egress and their ingress (decisions 17).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from policyd.cluster.findings import Finding, key_of
from policyd.cluster.idle import IdlePeer
from policyd.cluster.index import PodIndex, bits_of, mask_of
from policyd.cluster.isolations import Isolations, Subject
from policyd.cluster.ownership import Claims, claim_addresses
from policyd.cluster.peers import RuleResolver
from policyd.cluster.state import ClusterState, MissingNamespaces
from policyd.cluster.tiers import TierPolicies, selects, tie_warnings
from policyd.kube.objects import NAME_LABEL, Namespace, NetworkPolicy, Pod
from policyd.kube.selectors import matches
from policyd_compiler.budget import UNBOUNDED, Budget, OverBudget
from policyd_compiler.ir import Endpoint, Snapshot


@dataclass(frozen=True, slots=True)
class Resolved:
    """A snapshot, and what was odd in the cluster.

    `warnings` are sentences, `findings` are about addresses. `over` are policies whose rules were not
    resolved, as they would cost more than the budget: they are quarantined. `policies`: how many select pods
    of this node, those that are quarantined among them. Of what it was resolved from: the `claims` of pods,
    and what the `resolver` and `tiers` made of rules.
    """

    snapshot: Snapshot
    warnings: tuple[str, ...]
    findings: tuple[Finding, ...]
    claims: Claims
    resolver: RuleResolver
    tiers: TierPolicies
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
    nodes = [state.nodes[key] for key in sorted(state.nodes)]
    claims = claim_addresses(pods, nodes)
    namespaces, missing = _known_namespaces(state)
    index = PodIndex(claims.pods, namespaces)
    resolver = RuleResolver(index, claims)
    # An address that any pod of this node claims is judged here, as all of its claimants (NP-166).
    local = sorted({claims.host_of(claim) for claim, pod in enumerate(claims.pods) if pod.node == node})
    policies = [state.policies[key] for key in sorted(state.policies)]
    subjects = mask_of((claim for host in local for claim in claims.to(host)), len(claims.pods))
    selected, selecting = _select(policies, claims.pods, index, subjects)
    tiers = TierPolicies(state.cluster_policies.values(), index, claims, nodes, quarantined)
    in_tiers, more = tiers.select(subjects)
    claimants_of = {
        host: [
            Subject(claims.pods[claim], selected.get(claim, ()), in_tiers.get(claim, ()))
            for claim in claims.to(host)
        ]
        for host in local
    }
    isolations = Isolations(policies, resolver, tiers, quarantined)
    over = isolations.close_dear(claimants_of.values(), budget)
    endpoints = []
    for host, claimants in claimants_of.items():
        ingress, egress = isolations.of("ingress", claimants), isolations.of("egress", claimants)
        names = tuple(key_of(each.pod) for each in claimants) if len(claimants) > 1 else ()
        addresses = claims.hosts[host]
        endpoints.append(Endpoint(claims.key(host), addresses, ingress, egress, claimants=names))
    ordered = tuple(sorted(endpoints, key=lambda e: e.key))
    snapshot = Snapshot(node, claims.hosts, ordered)
    # Every node logs it, and the nodes of these pods have a condition.
    told = (*missing, *tie_warnings(tiers.policies), *(finding.text for finding in claims.findings))
    here = tuple(_placed(f, state, node) for f in claims.findings if _is_here(f, state, node))
    return Resolved(snapshot, told, here, claims, resolver, tiers, over, selecting + more)


def _known_namespaces(state: ClusterState) -> tuple[Mapping[str, Namespace], tuple[str, ...]]:
    """Namespaces of which labels are known, and a sentence about each that pods are in and nobody gave."""
    match state.missing_namespaces:
        case MissingNamespaces.UNKNOWN:
            named = {p.namespace for p in state.pods.values() if p.has_address and not p.terminal}
        case MissingNamespaces.NAMED:
            named = {p.namespace for p in state.pods.values()} | {
                p.namespace for p in state.policies.values()
            }
        case _:
            assert_never(state.missing_namespaces)
    missing = sorted(named - set(state.namespaces))
    told = tuple(missing_sentence(state.missing_namespaces, name) for name in missing)
    if state.missing_namespaces is MissingNamespaces.UNKNOWN:
        return state.namespaces, told
    return {**state.namespaces, **{name: made_namespace(name) for name in missing}}, told


def made_namespace(name: str) -> Namespace:
    """What a Namespace is taken for that nobody gives (NP-040)."""
    return Namespace(name, ((NAME_LABEL, name),))


def missing_sentence(missing: MissingNamespaces, name: str) -> str:
    """What is to be said of a Namespace that nobody gave, or nobody has given yet."""
    match missing:
        case MissingNamespaces.UNKNOWN:
            return f"namespace {name} is not known yet; no namespaceSelector matches its pods until it is"
        case MissingNamespaces.NAMED:
            return f"namespace {name} is not among the objects; it is taken to have no label but {NAME_LABEL}"
        case _:
            assert_never(missing)


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
    if any(p.namespace == pod.namespace and matches(p.pods, labels) for p in state.policies.values()):
        return True
    namespace = state.namespaces.get(pod.namespace)
    of_namespace = None if namespace is None else dict(namespace.labels)
    subjects = (policy.subject for policy in state.cluster_policies.values())
    return any(each is not None and selects(each, labels, of_namespace) for each in subjects)


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
