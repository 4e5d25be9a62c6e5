"""Workloads and Services under other names. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from policyd.kube.rename import Renaming, rename_labels, rename_owner
from policyd.kube.workloads import EndpointSlice, Service, Workload

W = TypeVar("W", bound=Workload)


def rename_workload(item: W, other: Renaming) -> W:
    """A workload under other names."""
    return replace(
        item,
        namespace=other("ns", item.namespace),
        name=other("workload", item.name, item.namespace),
        uid=other("uid", item.uid),
        labels=rename_labels(item.labels, other),
        ports=tuple(replace(port, name=other("port", port.name)) for port in item.ports),
        owners=tuple(rename_owner(owner, item.namespace, other) for owner in item.owners),
        source=None,
    )


def rename_service(item: Service, other: Renaming) -> Service:
    """A Service under other names; its addresses stay."""
    ports = tuple(
        replace(
            port,
            name=other("port", port.name) if port.name else "",
            target=other("port", port.target) if isinstance(port.target, str) else port.target,
        )
        for port in item.ports
    )
    return Service(
        other("ns", item.namespace),
        other("service", item.name, item.namespace),
        None if item.selector is None else rename_labels(item.selector, other),
        ports,
        item.addresses,
        published=item.published,
    )


def rename_endpoints(item: EndpointSlice, other: Renaming) -> EndpointSlice:
    """An EndpointSlice under other names; its addresses stay."""
    return EndpointSlice(
        other("ns", item.namespace),
        other("endpoints", item.name, item.namespace),
        other("service", item.service, item.namespace) if item.service else "",
        item.addresses,
        tuple(replace(port, name=other("port", port.name) if port.name else "") for port in item.ports),
    )
