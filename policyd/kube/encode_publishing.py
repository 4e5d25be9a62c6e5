"""Ingress, routes and grants of the Gateway API → manifests, and under other names. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from policyd.kube.decode_publishing import GATEWAY
from policyd.kube.encode_place import Manifest, manifest
from policyd.kube.publishing import Backend, Publisher, ReferenceGrant
from policyd.kube.rename import Renaming

P = TypeVar("P", bound=Publisher)


def encode_ingress(item: Publisher) -> Manifest:
    """The manifest of an Ingress: each backend under each host."""
    paths = [_path(backend) for backend in item.backends]
    rules = [{"host": host, "http": {"paths": paths}} for host in item.hosts]
    spec: Manifest = {"rules": rules or [{"http": {"paths": paths}}]}
    metadata: Manifest = {"name": item.name, "namespace": item.namespace}
    return manifest("networking.k8s.io/v1", "Ingress", metadata, spec=spec)


def _path(backend: Backend) -> Manifest:
    service: Manifest = {"name": backend.service}
    if backend.port is not None:
        service["port"] = {"number" if isinstance(backend.port, int) else "name": backend.port}
    return {"backend": {"service": service}}


def route_encoder(version: str, kind: str) -> Callable[[Publisher], Manifest]:
    """The function that makes manifests of a kind of route."""

    def encode(item: Publisher) -> Manifest:
        references: list[Manifest] = []
        for backend in item.backends:
            reference: Manifest = {"name": backend.service, "namespace": backend.namespace}
            if backend.port is not None:
                reference["port"] = backend.port
            references.append(reference)
        spec: Manifest = {"hostnames": list(item.hosts), "rules": [{"backendRefs": references}]}
        return manifest(version, kind, {"name": item.name, "namespace": item.namespace}, spec=spec)

    return encode


def rename_publisher(item: P, other: Renaming) -> P:
    """What leads to Services under other names; host names are left out."""
    backends = tuple(
        Backend(
            other("ns", backend.namespace),
            other("service", backend.service, backend.namespace),
            other("port", backend.port) if isinstance(backend.port, str) else backend.port,
        )
        for backend in item.backends
    )
    namespace, name = other("ns", item.namespace), other("publisher", item.name, item.namespace)
    return replace(item, namespace=namespace, name=name, hosts=(), backends=backends, source=None)


def encode_grant(item: ReferenceGrant) -> Manifest:
    """The manifest of a ReferenceGrant."""
    routes = [{"group": GATEWAY, "kind": kind, "namespace": namespace} for kind, namespace in item.routes]
    services = [
        {"group": "", "kind": "Service", **({} if name is None else {"name": name})} for name in item.services
    ]
    metadata: Manifest = {"name": item.name, "namespace": item.namespace}
    return manifest(f"{GATEWAY}/v1", "ReferenceGrant", metadata, spec={"from": routes, "to": services})


def rename_grant(item: ReferenceGrant, other: Renaming) -> ReferenceGrant:
    """A ReferenceGrant under other names."""
    return ReferenceGrant(
        other("ns", item.namespace),
        other("publisher", item.name, item.namespace),
        tuple((kind, other("ns", namespace)) for kind, namespace in item.routes),
        tuple(name and other("service", name, item.namespace) for name in item.services),
    )
