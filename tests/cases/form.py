"""The short form in which cases are written: `case("NP-031", policy(...), allow=["x/b > x/a TCP/80"])`.

A probe reads "SOURCE > DESTINATION PROTOCOL[/PORT] [v4|v6] [hairpin]"; without a family it is put in both,
unless a CIDR in the case ties it to IPv4. The world is that of tests/fixtures/cases.json.
"""

from __future__ import annotations

from typing import Any

from tests.oracle import Manifest


def case(
    number: str, *objects: Manifest, allow: list[str] | None = None, deny: list[str] | None = None
) -> Manifest:
    """Write one case in the form of cases.json."""
    probes = [
        _probe(text, expect) for expect, texts in (("ALLOW", allow), ("DENY", deny)) for text in texts or []
    ]
    return {"id": number, "objects": list(objects), "probes": probes}


def policy(namespace: str, pod: str | None = None, /, *, name: str = "p", **spec: Any) -> Manifest:
    """Write a policy for all pods of a namespace, or for those that are labelled `pod=<pod>`."""
    selector: Manifest = {} if pod is None else {"matchLabels": {"pod": pod}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"podSelector": selector, **spec},
    }


def cluster_policy(name: str, **spec: Any) -> Manifest:
    """Write a ClusterNetworkPolicy: the first of the tier Admin, for all pods, but for what is said."""
    return {
        "apiVersion": "policy.networking.k8s.io/v1beta1",
        "kind": "ClusterNetworkPolicy",
        "metadata": {"name": name},
        "spec": {"tier": "Admin", "priority": 1, "subject": {"namespaces": {}}, **spec},
    }


def ingress(namespace: str, pod: str | None, *rules: Any, name: str = "p") -> Manifest:
    return policy(namespace, pod, name=name, policyTypes=["Ingress"], ingress=list(rules))


def egress(namespace: str, pod: str | None, *rules: Any, name: str = "p") -> Manifest:
    return policy(namespace, pod, name=name, policyTypes=["Egress"], egress=list(rules))


def allow_all(namespace: str) -> Manifest:
    """Write a policy that isolates all pods of a namespace both ways, and allows everything."""
    return policy(namespace, name="all", policyTypes=["Ingress", "Egress"], ingress=[{}], egress=[{}])


def pods(*expressions: Manifest, **labels: str) -> Manifest:
    """Write a peer by pod labels, in the policy's own namespace."""
    return {"podSelector": {"matchLabels": labels, "matchExpressions": list(expressions)}}


def namespaces(*expressions: Manifest, **labels: str) -> Manifest:
    """Write a peer by namespace labels."""
    return {"namespaceSelector": {"matchLabels": labels, "matchExpressions": list(expressions)}}


def block(cidr: str, *excepts: str) -> Manifest:
    return {"ipBlock": {"cidr": cidr, "except": list(excepts)}}


def requirement(key: str, operator: str, *values: str) -> Manifest:
    return {"key": key, "operator": operator, **({"values": list(values)} if values else {})}


def namespace(name: str, **labels: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def pod(
    path: str, *addresses: str, node: str = "n1", ports: list[Manifest] | None = None, **more: Any
) -> Manifest:
    """Write a running pod, labelled `pod=<name>`; `more` overrides fields of metadata, spec or status."""
    place, _, name = path.partition("/")
    created = "2026-01-01T00:00:00Z"
    metadata = {
        "namespace": place,
        "name": name,
        "uid": path,
        "labels": {"pod": name},
        "creationTimestamp": created,
    }
    spec = {"nodeName": node, "containers": [{"name": "c0", "image": "i", "ports": ports or []}]}
    status = {"phase": "Running", "startTime": created, "podIPs": [{"ip": ip} for ip in addresses]}
    if addresses:
        status["podIP"] = addresses[0]
    for part, fields in (("metadata", metadata), ("spec", spec), ("status", status)):
        fields.update(more.pop(part, {}))
    if more:
        raise ValueError(f"{path}: {sorted(more)} are no parts of a pod")
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status}


def _probe(text: str, expect: str) -> Manifest:
    source, arrow, destination, packet, *flags = text.split()
    if arrow != ">" or not {"v4", "v6", "hairpin"}.issuperset(flags):
        raise ValueError(f"{text!r} is no probe")
    protocol, _, port = packet.partition("/")
    probe: Manifest = {"src": source, "dst": destination, "proto": protocol, "expect": expect}
    if port:
        probe["port"] = int(port)
    if "v4" in flags or "v6" in flags:
        probe["family"] = 4 if "v4" in flags else 6
    if "hairpin" in flags:
        probe["hairpin"] = True
    return probe
