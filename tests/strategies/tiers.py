"""ClusterNetworkPolicies over the whole grammar of the CRD, and beyond it what a server may hold."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from tests.oracle import Manifest
from tests.strategies.chooser import Chooser
from tests.strategies.clusters import LABELS
from tests.strategies.policies import (
    LENGTHS,
    NUMBERS,
    PORT_NAMES,
    addresses_of,
    namespace_selector,
    selector,
)

NODE_LABELS: dict[str, tuple[str, ...]] = {"zone": ("east", "west"), "role": ("infra", "")}
ACTIONS = ("Accept", "Deny", "Pass")
#: What a server may hold that nobody understands: from another version, another channel, or accepted blindly.
STRANGE_PEERS: tuple[Manifest, ...] = (
    {},
    {"services": {}},
    {"domainNames": ["example.com"]},
    {"namespaces": {"matchExpressions": [{"key": "team", "operator": "Gt", "values": ["1"]}]}},
    {"pods": {"podSelector": {"matchExpressions": [{"key": "app", "operator": "In"}]}}},
)
STRANGE_PROTOCOLS: tuple[Manifest, ...] = ({}, {"icmp": {}}, {"tcp": {}}, {"udp": {"sourcePort": 1}})
STRANGE_SUBJECTS: tuple[Manifest, ...] = (
    {},
    {"namespaces": {}, "pods": {"podSelector": {}}},
    {"namespaces": {"matchExpressions": [{"key": "team", "operator": "notIn", "values": ["blue"]}]}},
)


def tier_policy(chooser: Chooser, name: str, cluster: list[Manifest], *, strange: bool = False) -> Manifest:
    """A policy of either tier. `strange`: as a server may hold it, with what is not understood."""
    spec: Manifest = {
        "tier": chooser.one_of(("Admin", "Baseline")),
        "priority": chooser.one_of((0, 9, 10, 10, 100, 1000)),
        "subject": _pods(chooser),
    }
    if strange and chooser.chance(5):
        spec["subject"] = chooser.one_of(STRANGE_SUBJECTS)
    addresses = addresses_of(cluster)
    for direction, side in (("ingress", "from"), ("egress", "to")):
        count = chooser.one_of((1, 2, 0, 3))
        if count or chooser.chance(30):
            spec[direction] = [_rule(chooser, side, addresses, strange=strange) for _ in range(count)]
    return {
        "apiVersion": f"policy.networking.k8s.io/{chooser.one_of(('v1beta1', 'v1alpha2'))}",
        "kind": "ClusterNetworkPolicy",
        "metadata": {"name": name},
        "spec": spec,
    }


def _rule(chooser: Chooser, side: str, addresses: list[str], *, strange: bool) -> Manifest:
    rule: Manifest = {"action": chooser.one_of(ACTIONS)}
    rule[side] = [_peer(chooser, side, addresses) for _ in range(chooser.one_of((1, 1, 2)))]
    if chooser.chance(50):
        rule["protocols"] = [_protocol(chooser) for _ in range(chooser.one_of((1, 2)))]
        outside = any("networks" in peer or "nodes" in peer for peer in rule[side])
        if outside and not strange:  # the CRD refuses names beside these (CNP-034)
            rule["protocols"] = [e for e in rule["protocols"] if "destinationNamedPort" not in e] or [
                {"tcp": {"destinationPort": {"number": 80}}}
            ]
    if strange and chooser.chance(10):
        rule[side].append(chooser.one_of(STRANGE_PEERS))
    if strange and chooser.chance(5):
        rule.setdefault("protocols", []).append(chooser.one_of(STRANGE_PROTOCOLS))
    if strange and chooser.chance(3):
        rule["action"] = "Log"
    return rule


def _peer(chooser: Chooser, side: str, addresses: list[str]) -> Manifest:
    match chooser.number(0, 5) if side == "to" else 0:
        case 3:
            return {"nodes": selector(chooser, NODE_LABELS)}
        case 4 | 5:
            texts = [_network(chooser, addresses) for _ in range(chooser.one_of((1, 2)))]
            return {"networks": list(dict.fromkeys(texts))}
        case _:
            return _pods(chooser)


def _pods(chooser: Chooser) -> Manifest:
    match chooser.number(0, 3):
        case 0:
            return {"namespaces": {}}
        case 1:
            return {"namespaces": namespace_selector(chooser)}
        case 2:
            return {"pods": {"podSelector": selector(chooser, LABELS)}}
        case _:
            return {
                "pods": {
                    "podSelector": selector(chooser, LABELS),
                    "namespaceSelector": namespace_selector(chooser),
                }
            }


def _network(chooser: Chooser, addresses: list[str]) -> str:
    center = ip_address(chooser.one_of(addresses))
    return str(ip_network((center, chooser.one_of(LENGTHS[center.version])), strict=False))


def _protocol(chooser: Chooser) -> Manifest:
    if chooser.chance(25):
        return {"destinationNamedPort": chooser.one_of(PORT_NAMES)}
    port: Manifest = {"number": chooser.one_of(NUMBERS)}
    if chooser.chance(40):
        first = chooser.one_of((1, 53, 80, 8080))
        port = {"range": {"start": first, "end": min(65535, first + chooser.one_of((1, 20, 8000, 65535)))}}
    return {chooser.one_of(("tcp", "udp", "sctp")): {"destinationPort": port}}
