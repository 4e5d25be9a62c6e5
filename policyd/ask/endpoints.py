"""Who can send and receive: pods and workloads. A pod belongs to its topmost owner. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from policyd.cluster.state import ClusterState
from policyd.kube.cidr import print_ips
from policyd.kube.kind import Kind
from policyd.kube.objects import Labels, Owner, Pod, Source
from policyd.kube.registry import WORKLOADS
from policyd.kube.workloads import Workload
from policyd_compiler.ir import Host

#: Kind → the short name that kubectl has for it.
SHORT = {
    "Pod": "pod",
    "Deployment": "deploy",
    "StatefulSet": "sts",
    "DaemonSet": "ds",
    "ReplicaSet": "rs",
    "ReplicationController": "rc",
    "Job": "job",
    "CronJob": "cronjob",
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One pod, or a workload with its pods.

    `labels` are those that policies see. `members` are its pods, or one that stands for all that the template
    of a workload without pods would make; `pods` are only those that there are, and `held` what each holds.
    """

    id: str
    namespace: str
    kind: str
    name: str
    labels: Labels
    members: tuple[Pod, ...]
    pods: tuple[Pod, ...]
    source: Source | None = None
    held: tuple[Host, ...] = ()

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses of its pods that count (NP-167), as text: few of very many are ever printed."""
        return tuple(text for host in self.held for text in print_ips(host.v4, host.v6))


def id_of(namespace: str, kind: str, name: str) -> str:
    """`shop/deploy/web`."""
    return f"{namespace}/{SHORT[kind]}/{name}"


def find_endpoints(state: ClusterState, *, by_pod: bool = False) -> tuple[Endpoint, ...]:
    """All endpoints, sorted by id. `by_pod`: each pod is one, beside the workloads that have none.

    Pods on the host's network, and those that have ended, are none, as no policy is about them (NP-092,
    NP-100); nor are workloads that would make such pods.
    """
    workloads = dict(_workloads(state))
    tops = {key: _topmost(key, workload.owners, workloads) for key, workload in workloads.items()}
    pods: dict[tuple[str, str, str], list[Pod]] = {}
    for key in sorted(state.pods):
        pod = state.pods[key]
        if not pod.host_network and not pod.terminal:
            here = (pod.namespace, "Pod", pod.name)
            pods.setdefault(_topmost(here, pod.owners, workloads), []).append(pod)
    found = [_of_pod(pod) for key, each in pods.items() if by_pod or key not in workloads for pod in each]
    for top, workload in workloads.items():
        if by_pod and top in pods:
            continue
        if tops[top] == top and (top in pods or not workload.host_network):
            found.append(_of_workload(top[1], workload, tuple(pods.get(top, ()))))
    return tuple(sorted(found, key=lambda each: each.id))


def _workloads(state: ClusterState) -> Iterator[tuple[tuple[str, str, str], Workload]]:
    for kind in WORKLOADS:
        if kind in state.kinds:
            rows: Kind[Any] = kind
            for workload in state.all(rows).values():
                yield (workload.namespace, kind.name, workload.name), workload


def _topmost(
    key: tuple[str, str, str], owners: Iterable[Owner], workloads: Mapping[tuple[str, str, str], Workload]
) -> tuple[str, str, str]:
    """Follow owners as far as they are among the objects."""
    seen = {key}
    while True:
        above = _owner(key[0], owners, workloads)
        if above is None or above in seen:
            return key
        seen.add(above)
        key, owners = above, workloads[above].owners


def _owner(
    namespace: str, owners: Iterable[Owner], workloads: Mapping[tuple[str, str, str], Workload]
) -> tuple[str, str, str] | None:
    """The owner that is among the objects, the controller before others. Another uid is another object."""
    for owner in sorted(owners, key=lambda each: not each.controls):
        key = (namespace, owner.kind, owner.name)
        workload = workloads.get(key)
        if workload is not None and (owner.uid == workload.uid or not owner.uid or not workload.uid):
            return key
    return None


def _of_pod(pod: Pod) -> Endpoint:
    name = id_of(pod.namespace, "Pod", pod.name)
    return Endpoint(name, pod.namespace, "Pod", pod.name, pod.labels, (pod,), (pod,), pod.source)


def _of_workload(kind: str, workload: Workload, pods: tuple[Pod, ...]) -> Endpoint:
    return Endpoint(
        id_of(workload.namespace, kind, workload.name),
        workload.namespace,
        kind,
        workload.name,
        workload.labels,
        pods or (_stand_in(workload),),
        pods,
        workload.source,
    )


def _stand_in(workload: Workload) -> Pod:
    """A pod as the template makes it, before it has a node and an address."""
    return Pod(
        workload.namespace,
        workload.name,
        "",
        workload.labels,
        None,
        host_network=False,
        terminal=False,
        deleting=False,
        started="",
        v4=None,
        v6=None,
        ports=workload.ports,
        source=workload.source,
    )
