"""The cluster as a value: the objects that count, by key. Sources make it; `resolve` reads it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeVar, cast

from policyd.cluster.attachments import UNKNOWN, Attachments
from policyd.kube.kind import Kind, Kinds
from policyd.kube.objects import ClusterNetworkPolicy, KubeObject, Namespace, NetworkPolicy, Node, Pod
from policyd.kube.registry import CLUSTER_NETWORK_POLICY, KINDS, NAMESPACE, NETWORK_POLICY, NODE, POD

T = TypeVar("T", bound=KubeObject)


class MissingNamespaces(Enum):
    """What a Namespace is taken for that pods are in and that nobody gave."""

    #: It may come any moment, with any labels: no namespaceSelector matches it until then (NP-168).
    UNKNOWN = "unknown"
    #: Nobody will give it: it has its name as its only label (NP-040).
    NAMED = "named"


def _none_of_any() -> Mapping[str, Mapping[str, KubeObject]]:
    return {name: {} for name in KINDS.names}


@dataclass(frozen=True, slots=True)
class ClusterState:
    """Objects by the name of their kind, then by key: `namespace/name`, or the name of what has no namespace.

    `attachments` are what is known of one node besides its objects: which interface leads to which pod.
    `missing_namespaces` is NAMED where manifests are all there is, and UNKNOWN where a server reports them.
    """

    by_kind: Mapping[str, Mapping[str, KubeObject]] = field(default_factory=_none_of_any)
    attachments: Attachments = UNKNOWN
    missing_namespaces: MissingNamespaces = MissingNamespaces.UNKNOWN
    kinds: Kinds = KINDS

    @classmethod
    def of(
        cls,
        objects: Iterable[KubeObject],
        missing_namespaces: MissingNamespaces = MissingNamespaces.UNKNOWN,
        kinds: Kinds = KINDS,
    ) -> ClusterState:
        """A state with just these objects; of two with one key the later counts."""
        found: dict[str, dict[str, KubeObject]] = {name: {} for name in kinds.names}
        for item in objects:
            kind = kinds.of(item)
            found[kind.name][kind.key(item)] = item
        return cls(found, missing_namespaces=missing_namespaces, kinds=kinds)

    def all(self, kind: Kind[T]) -> Mapping[str, T]:
        """The objects of one kind, by key."""
        return cast(Mapping[str, T], self.by_kind[kind.name])

    @property
    def pods(self) -> Mapping[str, Pod]:
        """The pods, by `namespace/name`."""
        return self.all(POD)

    @property
    def namespaces(self) -> Mapping[str, Namespace]:
        """The namespaces, by name."""
        return self.all(NAMESPACE)

    @property
    def policies(self) -> Mapping[str, NetworkPolicy]:
        """The NetworkPolicies, by `namespace/name`."""
        return self.all(NETWORK_POLICY)

    @property
    def cluster_policies(self) -> Mapping[str, ClusterNetworkPolicy]:
        """The ClusterNetworkPolicies, by name."""
        return self.all(CLUSTER_NETWORK_POLICY) if CLUSTER_NETWORK_POLICY in self.kinds else {}

    @property
    def every_policy(self) -> Mapping[str, KubeObject]:
        """The policies of all kinds, by key: no two kinds have one, as a namespace's name has no slash."""
        return {key: item for kind in self.kinds if kind.policy for key, item in self.all(kind).items()}

    @property
    def nodes(self) -> Mapping[str, Node]:
        """The nodes, by name."""
        return self.all(NODE)

    def objects(self) -> Iterator[KubeObject]:
        """Everything there is, by kind and key; first the kinds that have no namespace."""
        for kind in sorted(self.kinds, key=lambda kind: kind.namespaced):
            found = self.by_kind[kind.name]
            for key in sorted(found):
                yield found[key]

    def node_names(self) -> tuple[str, ...]:
        """Every node that is named by a Node object, or by a pod that runs on it."""
        named = {pod.node for pod in self.pods.values() if pod.node}
        return tuple(sorted(named | set(self.nodes)))
