"""The cluster as a value: the objects that count, by key. Sources make it; `resolve` reads it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import assert_never

from policyd.cluster.attachments import UNKNOWN, Attachments
from policyd.kube.objects import KubeObject, Namespace, NetworkPolicy, Node, Pod


class MissingNamespaces(Enum):
    """What a Namespace is taken for that pods are in and that nobody gave."""

    #: It may come any moment, with any labels: no namespaceSelector matches it until then (NP-168).
    UNKNOWN = "unknown"
    #: Nobody will give it: it has its name as its only label (NP-040).
    NAMED = "named"


@dataclass(frozen=True, slots=True)
class ClusterState:
    """Objects by key: `namespace/name`, or the name of what has no namespace.

    `attachments` are what is known of one node beside its objects: which interface leads to which pod.
    `missing_namespaces` is NAMED where manifests are all there is, and UNKNOWN where a server tells.
    """

    pods: Mapping[str, Pod] = field(default_factory=dict)
    namespaces: Mapping[str, Namespace] = field(default_factory=dict)
    policies: Mapping[str, NetworkPolicy] = field(default_factory=dict)
    nodes: Mapping[str, Node] = field(default_factory=dict)
    attachments: Attachments = UNKNOWN
    missing_namespaces: MissingNamespaces = MissingNamespaces.UNKNOWN

    @classmethod
    def of(
        cls,
        objects: Iterable[KubeObject],
        missing_namespaces: MissingNamespaces = MissingNamespaces.UNKNOWN,
    ) -> ClusterState:
        """A state with just these objects; of two with one key the later counts."""
        pods: dict[str, Pod] = {}
        namespaces: dict[str, Namespace] = {}
        policies: dict[str, NetworkPolicy] = {}
        nodes: dict[str, Node] = {}
        for item in objects:
            match item:
                case Pod():
                    pods[f"{item.namespace}/{item.name}"] = item
                case Namespace():
                    namespaces[item.name] = item
                case NetworkPolicy():
                    policies[f"{item.namespace}/{item.name}"] = item
                case Node():
                    nodes[item.name] = item
                case _:
                    assert_never(item)
        return cls(pods, namespaces, policies, nodes, missing_namespaces=missing_namespaces)

    def objects(self) -> Iterator[KubeObject]:
        """Everything there is, by kind and key."""
        for kind in (self.namespaces, self.nodes, self.policies, self.pods):
            for key in sorted(kind):
                yield kind[key]

    def node_names(self) -> tuple[str, ...]:
        """Every node that is named by a Node object, or by a pod that runs on it."""
        named = {pod.node for pod in self.pods.values() if pod.node}
        return tuple(sorted(named | set(self.nodes)))
