"""Workloads and Services → manifests. Pure."""

from __future__ import annotations

from collections.abc import Callable

from policyd.kube.decode_endpoints import SERVICE_LABEL
from policyd.kube.encode_place import Manifest, encode_labels, manifest
from policyd.kube.encode_pod import encode_owners, encode_ports
from policyd.kube.reading import Path
from policyd.kube.workloads import EndpointSlice, Service, Workload


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


def encode_endpoints(item: EndpointSlice) -> Manifest:
    """The manifest of an EndpointSlice."""
    metadata: Manifest = {"name": item.name, "namespace": item.namespace}
    if item.service:
        metadata["labels"] = {SERVICE_LABEL: item.service}
    return manifest(
        "discovery.k8s.io/v1",
        "EndpointSlice",
        metadata,
        addressType="IPv6" if ":" in "".join(item.addresses) else "IPv4",
        endpoints=[{"addresses": [address]} for address in item.addresses],
        ports=[
            {"name": p.name, "protocol": p.protocol} | ({} if p.number is None else {"port": p.number})
            for p in item.ports
        ],
    )
