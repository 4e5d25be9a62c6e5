"""Peers of policies that select nobody, in sentences: a common reason why a rule does nothing. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from policyd.cluster.index import PodIndex
from policyd.cluster.state import ClusterState
from policyd.kube.objects import NetworkPolicy, PodPeer, PolicyRule, Source

#: A policy that selects pods of the node, and one of its peers that selects no pod with an address.
IdlePeer: TypeAlias = tuple[NetworkPolicy, PodPeer]

_NOBODY = "selects no pod that has an address, so it allows nothing"
_HOST = (
    "selects only pods on the host's network, which no selector reaches: "
    "an ipBlock with the addresses of their nodes does"
)


def idle_warnings(state: ClusterState, idle: Iterable[IdlePeer]) -> Iterator[tuple[Source | None, str]]:
    """For each of these peers where it was written and what is to be said, in order."""
    peers = list(idle)
    hosts = tuple(pod for pod in state.pods.values() if pod.host_network) if peers else ()
    index = PodIndex(hosts, state.namespaces)
    for policy, peer in peers:
        where = (
            index.in_namespace(policy.namespace)
            if peer.namespaces is None
            else index.in_namespaces(peer.namespaces)
        )
        said = _HOST if where & index.select(peer.pods) else _NOBODY
        for rule, path in _places(policy, peer):
            yield rule.source, f"NetworkPolicy {policy.namespace}/{policy.name}: spec.{path} {said}"


def _places(policy: NetworkPolicy, peer: PodPeer) -> Iterator[tuple[PolicyRule, str]]:
    for direction, side, rules in (
        ("ingress", "from", policy.ingress),
        ("egress", "to", policy.egress),
    ):
        for number, rule in enumerate(rules or ()):
            for place, other in enumerate(rule.peers or ()):
                if other is peer:
                    yield rule, f"{direction}[{number}].{side}[{place}]"
