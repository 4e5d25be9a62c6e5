"""Which policies may say something else of some addresses than before: cheap, and too many if in doubt."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from policyd.kube.objects import (
    ClusterNetworkPolicy,
    NetworkPolicy,
    Pod,
    PodPeer,
    PolicyPort,
    PolicyRule,
    TierRule,
)
from policyd.proof.cluster import Cluster, Direction, means_every_namespace, selects


@dataclass(frozen=True)
class About:
    """Who claims these addresses, each in its cluster. Blocks and nodes say the same of them as before."""

    claimants: tuple[tuple[Cluster, Pod], ...]
    _found: dict[tuple[int, Direction], bool] = field(default_factory=dict)

    def may_say(self, policy: NetworkPolicy | ClusterNetworkPolicy, direction: Direction) -> bool:
        """Whether any rule of a policy means one of them, or asks each peer for a port by name."""
        key = id(policy), direction
        found = self._found.get(key)
        if found is None:
            rules: Iterable[PolicyRule | TierRule] | None
            rules = policy.ingress if direction == "ingress" else policy.egress
            namespace = policy.namespace if isinstance(policy, NetworkPolicy) else None
            found = self._found[key] = any(self._means(rule, namespace, direction) for rule in rules or ())
        return found

    def _means(self, rule: PolicyRule | TierRule, namespace: str | None, direction: Direction) -> bool:
        if direction == "egress" and any(_is_named(port) for port in rule.ports or ()):
            return True
        return any(
            isinstance(peer, PodPeer) and self._selects(cluster, peer, namespace, pod)
            for peer in rule.peers or ()
            for cluster, pod in self.claimants
        )

    def _selects(self, cluster: Cluster, peer: PodPeer, namespace: str | None, pod: Pod) -> bool:
        if not selects(peer.pods, dict(pod.labels)):
            return False
        if peer.namespaces is None:
            return namespace is None or pod.namespace == namespace
        if namespace is None and means_every_namespace(peer):
            return True
        return pod.namespace in cluster.namespaces(peer.namespaces)


def _is_named(port: object) -> bool:
    return not isinstance(port, PolicyPort) or isinstance(port.port, str)
