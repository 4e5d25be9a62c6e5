"""Answers as the JSON that others rely on: `apiVersion: policyd/v1`. Pure."""

from __future__ import annotations

from typing import Any, TypeAlias

from policyd.ask.endpoints import Endpoint
from policyd.ask.reach import Connection, Outside, Reachability
from policyd_compiler.addr import Ranges
from policyd_compiler.ports import PortSet

API_VERSION = "policyd/v1"
#: What stands in place of an endpoint's id for addresses that no pod and no node has.
OUTSIDE = "outside"
Json: TypeAlias = dict[str, Any]


def reachability_json(found: Reachability) -> Json:
    """`kind: Reachability`."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Reachability",
        "endpoints": [endpoint_json(endpoint) for endpoint in found.endpoints],
        "connections": [connection_json(each) for each in found.connections],
        "outside": [outside_json(each) for each in found.outside],
    }


def endpoint_json(endpoint: Endpoint) -> Json:
    """An Endpoint."""
    return {
        "id": endpoint.id,
        "namespace": endpoint.namespace,
        "kind": endpoint.kind,
        "name": endpoint.name,
        "labels": dict(endpoint.labels),
        "pods": [f"{pod.namespace}/{pod.name}" for pod in endpoint.pods],
        "addresses": list(endpoint.addresses),
    }


def connection_json(connection: Connection) -> Json:
    """An entry of `connections`."""
    found: Json = {"from": connection.sender.id, "to": connection.receiver.id}
    if connection.family is not None:
        found["family"] = connection.family
    found["allowed"] = ports_json(connection.judged.allowed)
    if connection.judged.unknown:
        found["unknown"] = ports_json(connection.judged.unknown)
    return found


def outside_json(found: Outside) -> Json:
    """An entry of `outside`."""
    ends = (OUTSIDE, found.endpoint.id) if found.inbound else (found.endpoint.id, OUTSIDE)
    return {
        "from": ends[0],
        "to": ends[1],
        "cidr": found.block.cidr,
        "except": list(found.block.excepts),
        "allowed": ports_json(found.allowed),
    }


def ports_json(ports: PortSet) -> Json:
    """Ports: `{"TCP": "80,8000-8010", "other": true}`; what is not named is not in it."""
    found: Json = {
        name: print_numbers(ranges)
        for name, ranges in (("TCP", ports.tcp), ("UDP", ports.udp), ("SCTP", ports.sctp))
        if print_numbers(ranges)
    }
    if ports.other:
        found["other"] = True
    return found


def print_numbers(ranges: Ranges) -> str:
    """Port numbers from 1 on: `80,8000-8010`."""
    above = ((max(low, 1), high) for low, high in ranges if high)
    return ",".join(f"{low}" if low == high else f"{low}-{high}" for low, high in above)
