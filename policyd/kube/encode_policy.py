"""NetworkPolicy → manifest. Pure.

What decode could not understand matches nothing; here it becomes something that a server takes, and that
matches nothing either.
"""

from __future__ import annotations

from typing import assert_never

from policyd.kube.cidr import is_subset, print_cidr
from policyd.kube.encode_place import Manifest, manifest
from policyd.kube.legal import NOTHING, legal
from policyd.kube.objects import (
    LINT_IGNORE,
    IPBlock,
    LabelSelector,
    NetworkPolicy,
    Peer,
    PodPeer,
    PolicyPort,
    PolicyRule,
    Requirement,
)


def encode_policy(policy: NetworkPolicy) -> Manifest:
    """The manifest of a NetworkPolicy."""
    spec: Manifest = {"podSelector": encode_selector(policy.pods), "policyTypes": []}
    types: list[str] = []
    for direction, rules, peers in (("Ingress", policy.ingress, "from"), ("Egress", policy.egress, "to")):
        if rules is not None:
            types.append(direction)
            spec[direction.lower()] = [_encode_rule(rule, peers) for rule in rules]
    spec["policyTypes"] = types
    metadata: Manifest = {"name": policy.name, "namespace": policy.namespace}
    if policy.lint_ignore:
        metadata["annotations"] = {LINT_IGNORE: policy.lint_ignore}
    return manifest("networking.k8s.io/v1", "NetworkPolicy", metadata, spec=spec)


def _encode_rule(rule: PolicyRule, peers: str) -> Manifest:
    out: Manifest = {}
    if rule.peers is not None:
        out[peers] = [_encode_peer(peer) for peer in rule.peers or (IPBlock(None),)]
    if rule.ports == ():
        return {peers: [_encode_peer(IPBlock(None))]}
    if rule.ports is not None:
        out["ports"] = [_encode_port(port) for port in rule.ports]
    return out


def _encode_peer(peer: Peer) -> Manifest:
    match peer:
        case PodPeer(namespaces, pods):
            own = {} if namespaces is None else {"namespaceSelector": encode_selector(namespaces)}
            return {**own, "podSelector": encode_selector(pods)}
        case IPBlock(cidr, excepts):
            if cidr is None or any(is_subset(cidr, hole) for hole in excepts):
                return {"podSelector": encode_selector(NOTHING)}
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


def encode_selector(selector: LabelSelector) -> Manifest:
    """A label selector, in labels that a server takes."""
    requirements = selector.requirements
    return {"matchExpressions": [_encode_requirement(r) for r in legal(selector)]} if requirements else {}


def _encode_requirement(requirement: Requirement) -> Manifest:
    out: Manifest = {"key": requirement.key, "operator": requirement.operator}
    if requirement.values:
        out["values"] = list(requirement.values)
    return out
