"""Objects → what was seen of a cluster (`seen.py`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from policyd.kube.objects import (
    NAME_LABEL,
    ClusterNetworkPolicy,
    KubeObject,
    Namespace,
    NetworkPolicy,
    Node,
    Pod,
    Protocol,
)
from policyd.kube.workloads import Service, Workload
from policyd.lint.seen import Seen, SeenPod

#: Ports that containers declare, by kind, namespace and name of what was written.
Numbers: TypeAlias = Mapping[tuple[str, str, str], frozenset[tuple[Protocol, int]]]
#: One for all: each `frozenset()` is another, of 216 bytes.
_NONE: Final = frozenset[tuple[Protocol, int]]()


def see(
    objects: Iterable[KubeObject],
    numbers: Numbers | None = None,
    partial: Sequence[str] = (),
    *,
    whole: bool = False,
) -> Seen:
    """What these objects say of a cluster.

    `numbers`: ports that containers declare, by kind, namespace and name of what was written. Without a pod
    or what makes pods among the objects they are partial.
    """
    found = _Found(numbers or {})
    for item in objects:
        found.add(item)
    if not found.pods and not whole:
        partial = (*partial, "no pod, and nothing that makes pods, is among the objects")
    used = {pod.namespace for pod in found.pods} | {policy.namespace for policy in found.policies}
    known = {name: space.labels for name, space in found.spaces.items()}
    known |= {name: ((NAME_LABEL, name),) for name in used - set(found.spaces)}
    return Seen(
        tuple(sorted(found.pods, key=lambda pod: (pod.namespace, pod.kind, pod.name))),
        {name: known[name] for name in sorted(known)},
        frozenset(found.spaces),
        tuple(found.services),
        tuple(found.policies),
        () if whole else tuple(partial),
        whole,
        tuple(found.tiers.values()),
        {name: space.source for name, space in found.spaces.items() if space.source is not None},
        tuple(found.nodes),
    )


@dataclass(slots=True)
class _Found:
    """Objects by what they are for."""

    numbers: Numbers
    pods: list[SeenPod] = field(default_factory=list)
    spaces: dict[str, Namespace] = field(default_factory=dict)
    services: list[Service] = field(default_factory=list)
    policies: list[NetworkPolicy] = field(default_factory=list)
    tiers: dict[str, ClusterNetworkPolicy] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)

    def add(self, item: KubeObject) -> None:
        """Take an object. Of a Namespace that is given twice all labels count."""
        match item:
            case Pod():
                if not item.terminal:
                    self.pods.append(_pod(item, self.numbers))
            case Workload():
                self.pods.append(_workload(item, self.numbers))
            case Namespace():
                other = self.spaces.get(item.name)
                labels = tuple(sorted({*item.labels, *(other.labels if other else ())}))
                self.spaces[item.name] = Namespace(item.name, labels, (other or item).source)
            case Service():
                self.services.append(item)
            case NetworkPolicy():
                self.policies.append(item)
            case ClusterNetworkPolicy():
                self.tiers.setdefault(item.name, item)
            case Node():
                self.nodes.append(item)
            case _:
                pass


def _pod(pod: Pod, numbers: Numbers) -> SeenPod:
    declared = numbers.get(("Pod", pod.namespace, pod.name), _NONE)
    return SeenPod(
        "Pod",
        pod.namespace,
        pod.name,
        pod.labels,
        pod.host_network,
        pod.ports,
        declared,
        pod.v4,
        pod.v6,
        pod.source,
    )


def _workload(item: Workload, numbers: Numbers) -> SeenPod:
    kind = type(item).__name__
    declared = numbers.get((kind, item.namespace, item.name), _NONE)
    return SeenPod(
        kind,
        item.namespace,
        item.name,
        item.labels,
        item.host_network,
        item.ports,
        declared,
        source=item.source,
    )
