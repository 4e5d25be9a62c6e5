"""Workloads and Services → manifests. Pure."""

from __future__ import annotations

from collections.abc import Callable

from policyd.kube.encode_place import Manifest, encode_labels, manifest
from policyd.kube.encode_pod import encode_owners, encode_ports
from policyd.kube.reading import Path
from policyd.kube.workloads import Service, Workload


def workload_encoder(version: str, kind: str, template: Path) -> Callable[[Workload], Manifest]:
    """The function that makes manifests of a kind, of which the pod template is at this path."""

    def encode(item: Workload) -> Manifest:
        metadata: Manifest = {"name": item.name, "namespace": item.namespace, "uid": item.uid}
        if item.owners:
            metadata["ownerReferences"] = encode_owners(item.owners)
        spec: Manifest = {"containers": encode_ports(item.ports)}
        if item.host_network:
            spec["hostNetwork"] = True
        value: Manifest = {"metadata": {"labels": encode_labels(item.labels)}, "spec": spec}
        for step in reversed(template[1:]):
            value = {str(step): value}
        return manifest(version, kind, metadata, spec=value)

    return encode


def encode_service(item: Service) -> Manifest:
    """The manifest of a Service."""
    spec: Manifest = {
        "ports": [
            {"name": p.name, "protocol": p.protocol, "port": p.number, "targetPort": p.target}
            for p in item.ports
        ],
        "clusterIPs": list(item.addresses),
    }
    if item.published:
        spec["type"] = item.published
    if item.selector is not None:
        spec["selector"] = encode_labels(item.selector)
    return manifest("v1", "Service", {"name": item.name, "namespace": item.namespace}, spec=spec)
