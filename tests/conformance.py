"""Upstream's conformance tests of ClusterNetworkPolicy, as far as they are recorded, as cases.

The model: houses G, S, H and R, namespaces labelled `house`, with two pods each, dealt out to two nodes, and
a host-network pod F on each node. Each step is a case of its own, in each family.
"""

from __future__ import annotations

import copy
import json
import re
from functools import cache
from typing import Any

from tests.oracle import Connection, Manifest
from tests.worlds import FIXTURES, Case, Probe

HOUSES = "GSHR"
#: Ports of the host-network pods: H0 is the first.
FIRST_PORT = 34345
PROTOCOLS = {"tcp": "TCP", "udp": "UDP", "sctp": "SCTP"}


@cache
def conformance_cases() -> tuple[Case, ...]:
    """Give every step of the recorded conformance tests, once in each family."""
    tests = json.loads((FIXTURES / "cnp-conformance.json").read_text())
    return tuple(case for test in tests for family in (4, 6) for case in _steps(test, family))


def _steps(test: Manifest, family: int) -> list[Case]:
    nodes = [_node(number) for number in (1, 2)]
    namespaces = {house: _namespace(house) for house in HOUSES}
    pods = {f"{house}{n}": _pod(house, n) for house in HOUSES for n in (0, 1)}
    policies = [_policy(f"p{n}", policy, family) for n, policy in enumerate(test["policies"])]
    others = [_network_policy()] if test["has_networkpolicy"] else []
    cases = []
    for number, step in enumerate(test["steps"], start=1):
        for operation in step["ops"]:
            _apply(operation, policies, namespaces, others, family)
        objects = copy.deepcopy([*nodes, *namespaces.values(), *pods.values(), *policies, *others])
        probes = tuple(_probe(poke, family) for poke in step["pokes"])
        cases.append(Case(f"{test['id']}.{number}-{test['name']}-ipv{family}", objects, probes))
    return cases


def _apply(
    operation: Manifest,
    policies: list[Manifest],
    namespaces: dict[str, Manifest],
    others: list[Manifest],
    family: int,
) -> None:
    spec = policies[operation.get("policy", 0)]["spec"]
    match operation["op"]:
        case "swap":
            first, second = operation["rules"]
            for direction in ("ingress", "egress"):
                if rules := spec.get(direction):
                    rules[first], rules[second] = rules[second], rules[first]
        case "set-protocols":
            protocols = [_protocol(each) for each in operation["protocols"]]
            spec[operation["dir"]][operation["rule"]]["protocols"] = protocols
        case "set-action":
            spec[operation["dir"]][operation["rule"]]["action"] = operation["action"]
        case "set-priority":
            spec["priority"] = operation["priority"]
        case "insert-rule":
            spec[operation["dir"]].insert(0, _rule(operation["rule"], "to", family))
        case "label-namespace":
            namespaces[operation["ns"]]["metadata"]["labels"]["house"] = operation["house"]
        case "delete-networkpolicy":
            others.clear()
        case other:
            raise ValueError(f"unknown operation {other!r}")


def _policy(name: str, policy: Manifest, family: int) -> Manifest:
    spec: Manifest = {key: policy[key] for key in ("tier", "priority")}
    spec["subject"] = _peer(policy["subject"], family)
    for direction, side in (("ingress", "from"), ("egress", "to")):
        if direction in policy:
            spec[direction] = [_rule(rule, side, family) for rule in policy[direction]]
    return {
        "apiVersion": "policy.networking.k8s.io/v1beta1",
        "kind": "ClusterNetworkPolicy",
        "metadata": {"name": name},
        "spec": spec,
    }


def _rule(rule: Manifest, side: str, family: int) -> Manifest:
    made: Manifest = {"action": rule["action"], side: [_peer(peer, family) for peer in rule["peers"]]}
    if "protocols" in rule:
        made["protocols"] = [_protocol(each) for each in rule["protocols"]]
    return made


def _peer(peer: Manifest, family: int) -> Manifest:
    ((kind, value),) = peer.items()
    match kind:
        case "ns":
            return {"namespaces": {"matchLabels": {"house": value}}}
        case "pods":
            # The suite's own form: by the pods' label, in namespaces of the house.
            labels = {"matchLabels": {"house": value}}
            return {"pods": {"podSelector": labels, "namespaceSelector": labels}}
        case "nodes":
            return {"nodes": {"matchLabels": value}}
        case _:
            return {"networks": [_network(text, family) for text in value]}


def _network(text: str, family: int) -> str:
    named = re.fullmatch(r"IP\((\w)(\d)\)/32", text)
    if named is None:
        return text
    return f"{_address(named[1] + named[2], family)}/{32 if family == 4 else 128}"


def _protocol(entry: Manifest) -> Manifest:
    ((kind, value),) = entry.items()
    if kind == "namedPort":
        return {"destinationNamedPort": value}
    if isinstance(value, list):
        start, end = map(_port, value)
        return {kind: {"destinationPort": {"range": {"start": start, "end": end}}}}
    return {kind: {"destinationPort": {"number": _port(value)}}}


def _port(text: Any) -> int:
    return FIRST_PORT + int(text[1:]) if isinstance(text, str) else int(text)


def _address(name: str, family: int) -> str:
    if name[0] == "F":
        return f"192.0.2.{1 + int(name[1])}" if family == 4 else f"2001:db8:1::{1 + int(name[1])}"
    number = 10 * (1 + HOUSES.index(name[0])) + int(name[1])
    return f"10.244.1.{number}" if family == 4 else f"fd00:10:244:1::{number}"


def _node_of(name: str) -> str:
    return f"n{1 + int(name[1])}"


def _probe(poke: list[Any], family: int) -> Probe:
    source, destination, protocol, port, expected = poke
    connection = Connection(
        _address(source, family), _address(destination, family), PROTOCOLS[protocol], _port(port)
    )
    nodes = tuple(sorted({_node_of(source), _node_of(destination)}))
    text = f"{source} > {destination} {protocol}/{port} IPv{family}"
    return Probe(text, connection, expected == "OK", nodes)


def _node(number: int) -> Manifest:
    name = f"n{number}"
    addresses = [f"192.0.2.{number}", f"2001:db8:1::{number}"]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/os": "linux"}},
        "status": {"addresses": [{"type": "InternalIP", "address": address} for address in addresses]},
    }


def _namespace(house: str) -> Manifest:
    metadata = {"name": house.lower(), "labels": {"house": house}}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def _pod(house: str, number: int) -> Manifest:
    ports = [
        {"name": "web", "protocol": "TCP", "containerPort": 80},
        {"name": "dns", "protocol": "UDP", "containerPort": 53},
    ]
    name, addresses = f"{house}{number}", [_address(f"{house}{number}", family) for family in (4, 6)]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "namespace": house.lower(),
            "name": name.lower(),
            "uid": name,
            "labels": {"house": house},
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {"nodeName": _node_of(name), "containers": [{"name": "c", "ports": ports}]},
        "status": {
            "phase": "Running",
            "startTime": "2026-01-01T00:00:00Z",
            "podIP": addresses[0],
            "podIPs": [{"ip": address} for address in addresses],
        },
    }


def _network_policy() -> Manifest:
    """The NetworkPolicy of the test of all tiers: all pods of G, from and to S."""
    peer = [{"namespaceSelector": {"matchLabels": {"house": "S"}}}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "allow-s", "namespace": "g"},
        "spec": {
            "podSelector": None,
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": peer}],
            "egress": [{"to": peer}],
        },
    }
