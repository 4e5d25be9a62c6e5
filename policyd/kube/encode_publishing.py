"""Ingress and routes of the Gateway API → manifests, and under other names. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from policyd.kube.encode_place import Manifest, manifest
from policyd.kube.publishing import Backend, Publisher
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
