"""ClusterNetworkPolicy → manifest. Pure.

What decode could not understand becomes something that a server takes and that matches nothing either. But a
rule that denies everything for that reason has a peer without a key, which is refused among manifests.
"""

from __future__ import annotations

from typing import assert_never

from policyd.kube.cidr import print_cidr
from policyd.kube.encode_place import Manifest, manifest
from policyd.kube.encode_policy import encode_selector
from policyd.kube.legal import NOTHING
from policyd.kube.objects import (
    ClusterNetworkPolicy,
    IPBlock,
    NodePeer,
    PodPeer,
    PolicyPort,
    PortName,
    TierPeer,
    TierPort,
    TierRule,
)

#: So many blocks a peer may have.
MOST = 25


def encode_cluster_policy(policy: ClusterNetworkPolicy) -> Manifest:
    """The manifest of a ClusterNetworkPolicy."""
    subject: Manifest = {"namespaces": encode_selector(NOTHING)}
    if policy.subject is not None:
        subject = _encode_pods(policy.subject)
    spec: Manifest = {"tier": policy.tier, "priority": policy.priority, "subject": subject}
    for direction, rules, side in (("ingress", policy.ingress, "from"), ("egress", policy.egress, "to")):
        if rules is not None:
            spec[direction] = [_encode_rule(rule, side) for rule in rules]
    metadata: Manifest = {"name": policy.name}
    return manifest("policy.networking.k8s.io/v1beta1", "ClusterNetworkPolicy", metadata, spec=spec)


def _encode_rule(rule: TierRule, side: str) -> Manifest:
    out: Manifest = {"name": rule.name} if rule.name else {}
    out["action"] = rule.action
    match rule.peers:
        case None:
            out[side] = [{}]
        case ():
            out[side] = [{"pods": {"podSelector": encode_selector(NOTHING)}}]
        case peers:
            out[side] = _encode_peers(peers)
    if rule.ports is not None:
        out["protocols"] = [_encode_port(port) for port in rule.ports]
    return out


def _encode_peers(peers: tuple[TierPeer, ...]) -> list[Manifest]:
    """Peers in their order; blocks that follow each other share one."""
    found: list[Manifest] = []
    blocks: list[str] = []
    for peer in peers:
        match peer:
            case IPBlock(cidr):
                if not blocks or len(blocks) == MOST:
                    blocks = []
                    found.append({"networks": blocks})
                if cidr is not None:
                    blocks.append(print_cidr(cidr))
                continue
            case NodePeer(nodes):
                found.append({"nodes": encode_selector(nodes)})
            case PodPeer():
                found.append(_encode_pods(peer))
            case _:
                assert_never(peer)
        blocks = []
    return found


def _encode_pods(peer: PodPeer) -> Manifest:
    if not peer.pods.requirements and peer.namespaces is not None:
        return {"namespaces": encode_selector(peer.namespaces)}
    pods: Manifest = {"podSelector": encode_selector(peer.pods)}
    if peer.namespaces is not None and peer.namespaces.requirements:
        pods["namespaceSelector"] = encode_selector(peer.namespaces)
    return {"pods": pods}


def _encode_port(port: TierPort) -> Manifest:
    match port:
        case PortName(name):
            return {"destinationNamedPort": name}
        case PolicyPort(protocol, number, None):
            return {protocol.lower(): {"destinationPort": {"number": number}}}
        case PolicyPort(protocol, start, end):
            return {protocol.lower(): {"destinationPort": {"range": {"start": start, "end": end}}}}
        case _:
            assert_never(port)
