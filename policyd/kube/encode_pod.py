"""Pod → manifest. Pure."""

from __future__ import annotations

from policyd.kube.cidr import print_ips
from policyd.kube.encode_place import Manifest, encode_labels, manifest
from policyd.kube.objects import NamedPort, Owner, Pod

#: Any time will do: that there is one says that the pod is being deleted.
_DELETED = "1970-01-01T00:00:00Z"


def encode_pod(pod: Pod) -> Manifest:
    """The manifest of a Pod."""
    metadata: Manifest = {
        "name": pod.name,
        "namespace": pod.namespace,
        "uid": pod.uid,
        "labels": encode_labels(pod.labels),
    }
    if pod.deleting:
        metadata["deletionTimestamp"] = _DELETED
    if pod.owners:
        metadata["ownerReferences"] = encode_owners(pod.owners)
    spec: Manifest = {"containers": encode_ports(pod.ports)}
    if pod.node is not None:
        spec["nodeName"] = pod.node
    if pod.host_network:
        spec["hostNetwork"] = True
    status: Manifest = {"phase": "Succeeded" if pod.terminal else "Running"}
    if pod.started:
        status["startTime"] = pod.started
    if ips := print_ips(pod.v4, pod.v6):
        status["podIPs"] = [{"ip": ip} for ip in ips]
    return manifest("v1", "Pod", metadata, spec=spec, status=status)


def encode_ports(ports: tuple[NamedPort, ...]) -> list[Manifest]:
    """Containers with these ports: one each, as names must differ within one only."""
    return [
        {
            "name": f"c{number}",
            "ports": [{"name": port.name, "protocol": port.protocol, "containerPort": port.number}],
        }
        for number, port in enumerate(ports)
    ]


def encode_owners(owners: tuple[Owner, ...]) -> list[Manifest]:
    """The entries of ownerReferences, without apiVersion, which nobody asks for here."""
    return [
        {"kind": o.kind, "name": o.name, "uid": o.uid, **({"controller": True} if o.controls else {})}
        for o in owners
    ]
