"""Objects → manifests that are read as the same objects again. Only what decides a verdict is in them. Pure.

What decode could not understand matches nothing; here it becomes something that a server takes, and that
matches nothing either. So what an agent has read from its cluster can be compiled anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import chain
from typing import TypeAlias, assert_never

from policyd.kube.cidr import is_subset, print_cidr, print_ips
from policyd.kube.objects import (
    IPBlock,
    KubeObject,
    Labels,
    LabelSelector,
    Namespace,
    NetworkPolicy,
    Node,
    Peer,
    Pod,
    PodPeer,
    PolicyPort,
    PolicyRule,
    Requirement,
)
from policyd.kube.syntax import label_key_mistake, label_value_mistake

Manifest: TypeAlias = dict[str, object]

_KEY = "policyd-nothing"
#: No pod has a label and has it not.
_NOTHING = LabelSelector((Requirement(_KEY, "DoesNotExist"), Requirement(_KEY, "Exists")))
#: As good as certainly no container has a port of this name.
_NO_PORT: list[Manifest] = [{"protocol": "TCP", "port": _KEY}]
#: Any time will do: that there is one says that the pod is being deleted.
_DELETED = "1970-01-01T00:00:00Z"


def encode(item: KubeObject) -> Manifest:
    """The manifest of one object."""
    match item:
        case Pod():
            return _encode_pod(item)
        case Namespace(name, labels):
            return _object("v1", "Namespace", _named(name, labels))
        case NetworkPolicy():
            return _encode_policy(item)
        case Node(name, labels, addresses):
            found = [{"type": "InternalIP", "address": address} for address in addresses]
            return _object("v1", "Node", _named(name, labels), status={"addresses": found})
        case _:
            assert_never(item)


def encode_list(items: Iterable[KubeObject]) -> Manifest:
    """Objects as one `kind: List`."""
    return {"apiVersion": "v1", "kind": "List", "items": [encode(item) for item in items]}


def without_source(item: KubeObject) -> KubeObject:
    """The object as if it came from an API server: written nowhere."""
    if not isinstance(item, NetworkPolicy):
        return replace(item, source=None)
    ingress, egress = (
        None if rules is None else tuple(replace(rule, source=None) for rule in rules)
        for rules in (item.ingress, item.egress)
    )
    return replace(item, ingress=ingress, egress=egress, source=None)


def _object(version: str, kind: str, metadata: Manifest, **parts: object) -> Manifest:
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **parts}


def _named(name: str, labels: Labels) -> Manifest:
    return {"name": name, "labels": _encode_labels(labels)}


def _encode_pod(pod: Pod) -> Manifest:
    metadata: Manifest = {
        "name": pod.name,
        "namespace": pod.namespace,
        "uid": pod.uid,
        "labels": _encode_labels(pod.labels),
    }
    if pod.deleting:
        metadata["deletionTimestamp"] = _DELETED
    # A container each, as names must differ within one only.
    containers = [
        {
            "name": f"c{number}",
            "ports": [{"name": port.name, "protocol": port.protocol, "containerPort": port.number}],
        }
        for number, port in enumerate(pod.ports)
    ]
    spec: Manifest = {"containers": containers}
    if pod.node is not None:
        spec["nodeName"] = pod.node
    if pod.host_network:
        spec["hostNetwork"] = True
    status: Manifest = {"phase": "Succeeded" if pod.terminal else "Running"}
    if pod.started:
        status["startTime"] = pod.started
    if ips := print_ips(pod.v4, pod.v6):
        status["podIPs"] = [{"ip": ip} for ip in ips]
    return _object("v1", "Pod", metadata, spec=spec, status=status)


def _encode_policy(policy: NetworkPolicy) -> Manifest:
    spec: Manifest = {"podSelector": _encode_selector(policy.pods), "policyTypes": []}
    types: list[str] = []
    for direction, rules, peers in (("Ingress", policy.ingress, "from"), ("Egress", policy.egress, "to")):
        if rules is not None:
            types.append(direction)
            spec[direction.lower()] = [_encode_rule(rule, peers) for rule in rules]
    spec["policyTypes"] = types
    metadata: Manifest = {"name": policy.name, "namespace": policy.namespace}
    return _object("networking.k8s.io/v1", "NetworkPolicy", metadata, spec=spec)


def _encode_rule(rule: PolicyRule, peers: str) -> Manifest:
    out: Manifest = {}
    if rule.peers is not None:
        out[peers] = [_encode_peer(peer) for peer in rule.peers or (IPBlock(None),)]
    if rule.ports == () and peers == "from":
        return {peers: [_encode_peer(IPBlock(None))]}
    if rule.ports is not None:
        out["ports"] = [_encode_port(port) for port in rule.ports] or _NO_PORT
    return out


def _encode_peer(peer: Peer) -> Manifest:
    match peer:
        case PodPeer(namespaces, pods):
            own = {} if namespaces is None else {"namespaceSelector": _encode_selector(namespaces)}
            return {**own, "podSelector": _encode_selector(pods)}
        case IPBlock(cidr, excepts):
            if cidr is None or any(is_subset(cidr, hole) for hole in excepts):
                return {"podSelector": _encode_selector(_NOTHING)}
            inside = [print_cidr(hole) for hole in excepts if is_subset(hole, cidr)]
            return {"ipBlock": {"cidr": print_cidr(cidr), **({"except": inside} if inside else {})}}
        case _:
            assert_never(peer)


def _encode_port(port: PolicyPort) -> Manifest:
    out: Manifest = {"protocol": port.protocol}
    if port.port is not None:
        out["port"] = port.port
    if port.end_port is not None:
        out["endPort"] = port.end_port
    return out


def _encode_labels(labels: Labels) -> dict[str, str]:
    return {k: v for k, v in labels if label_key_mistake(k) is None and label_value_mistake(v) is None}


def _encode_selector(selector: LabelSelector) -> Manifest:
    legal = [_legal(requirement) for requirement in selector.requirements]
    return {"matchExpressions": [_encode_requirement(r) for r in chain.from_iterable(legal)]} if legal else {}


def _legal(requirement: Requirement) -> tuple[Requirement, ...]:
    """The same in labels that exist: what no pod can have is never in, and always absent (NP-045)."""
    key, operator, values = requirement.key, requirement.operator, requirement.values
    positive = operator in ("In", "Exists")
    if label_key_mistake(key) is not None:
        return _NOTHING.requirements if positive else ()
    kept = tuple(value for value in values if label_value_mistake(value) is None)
    if values and not kept:
        return _NOTHING.requirements if positive else ()
    return (Requirement(key, operator, kept),)


def _encode_requirement(requirement: Requirement) -> Manifest:
    out: Manifest = {"key": requirement.key, "operator": requirement.operator}
    if requirement.values:
        out["values"] = list(requirement.values)
    return out
