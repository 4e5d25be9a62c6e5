"""Raw objects as the API server stores them, for a server to be filled with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.watcher.history import Raw


def pod(
    name: str,
    *,
    namespace: str = "shop",
    labels: Mapping[str, str] | None = None,
    ips: Sequence[str] = (),
    node: str = "node-1",
    **metadata: object,
) -> Raw:
    """A pod that runs on a node; without addresses it is pending."""
    status: Raw = {"phase": "Running" if ips else "Pending"}
    if ips:
        status |= {"podIP": ips[0], "podIPs": [{"ip": ip} for ip in ips]}
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"app": name, **(labels or {})},
            **metadata,
        },
        "spec": {
            "nodeName": node,
            "containers": [
                {
                    "name": "c",
                    "image": "example/web:1",
                    "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
                }
            ],
        },
        "status": status,
    }


def namespace(name: str, **labels: str) -> Raw:
    return {
        "kind": "Namespace",
        "apiVersion": "v1",
        "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name, **labels}},
    }


def node(name: str, *addresses: str) -> Raw:
    types = ("InternalIP", "ExternalIP")  # one of each, as server-side apply merges by type
    listed = [{"type": type_, "address": address} for type_, address in zip(types, addresses, strict=False)]
    return {
        "kind": "Node",
        "apiVersion": "v1",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "status": {"addresses": [*listed, {"type": "Hostname", "address": name}]},
    }


def policy(name: str, spec: Mapping[str, object], *, namespace: str = "shop") -> Raw:
    return {
        "kind": "NetworkPolicy",
        "apiVersion": "networking.k8s.io/v1",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }
