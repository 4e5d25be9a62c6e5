"""Workloads, which make pods, and Services, which lead to pods. Read for questions.

Services and what is behind them are followed, too, where pods are judged in their own namespaces.

A workload is its pod template: what labels and named ports its pods will have. It has no address.
"""

from __future__ import annotations

from dataclasses import dataclass

from policyd.kube.objects import Labels, NamedPort, Owner, Protocol, Source


@dataclass(frozen=True, slots=True)
class Workload:
    """`labels`, `host_network` and `ports` are those of the pod template; the workload's own are not kept."""

    namespace: str
    name: str
    uid: str
    labels: Labels
    host_network: bool
    ports: tuple[NamedPort, ...]
    owners: tuple[Owner, ...] = ()
    source: Source | None = None


@dataclass(frozen=True, slots=True)
class Deployment(Workload):
    """Owns ReplicaSets."""


@dataclass(frozen=True, slots=True)
class StatefulSet(Workload):
    """Owns Pods."""


@dataclass(frozen=True, slots=True)
class DaemonSet(Workload):
    """Owns Pods."""


@dataclass(frozen=True, slots=True)
class ReplicaSet(Workload):
    """Owns Pods; mostly owned by a Deployment."""


@dataclass(frozen=True, slots=True)
class ReplicationController(Workload):
    """Owns Pods."""


@dataclass(frozen=True, slots=True)
class Job(Workload):
    """Owns Pods; may be owned by a CronJob."""


@dataclass(frozen=True, slots=True)
class CronJob(Workload):
    """Owns Jobs."""


@dataclass(frozen=True, slots=True)
class ServicePort:
    """`target` is a number, or the name of a port of the pods."""

    name: str
    protocol: Protocol
    number: int
    target: int | str


@dataclass(frozen=True, slots=True)
class Service:
    """`selector` None: it selects no pods, and what it leads to is written elsewhere, or outside.

    `addresses` are its cluster addresses, canonical; none for a headless one.
    """

    namespace: str
    name: str
    selector: Labels | None
    ports: tuple[ServicePort, ...]
    addresses: tuple[str, ...] = ()
    source: Source | None = None
    #: NodePort or LoadBalancer, for one that is open to the outside.
    published: str = ""


@dataclass(frozen=True, slots=True)
class EndpointPort:
    """A port of what is behind a Service; `number` None: any."""

    name: str
    protocol: Protocol
    number: int | None


@dataclass(frozen=True, slots=True)
class EndpointSlice:
    """A part of what is behind a Service, all of one family; `service` is "" where it belongs to none."""

    namespace: str
    name: str
    service: str
    addresses: tuple[str, ...]
    ports: tuple[EndpointPort, ...]
    source: Source | None = None
