"""Answers as the JSON that others rely on: `apiVersion: policyd/v1`. Pure."""

from __future__ import annotations

from typing import Any, TypeAlias

from policyd.ask.diff import Change, Difference
from policyd.ask.endpoints import Endpoint
from policyd.ask.ends import End, end_of
from policyd.ask.fits import Reference
from policyd.ask.reach import Connection, Outside, Reachability
from policyd.ask.why import Side, Verdict, doubts
from policyd.ask.world import World
from policyd_compiler.addr import Ranges, print_address
from policyd_compiler.ports import PortSet

API_VERSION = "policyd/v1"
#: What stands in place of an endpoint's id for addresses that no pod and no node has.
OUTSIDE = "outside"
Json: TypeAlias = dict[str, Any]


def reachability_json(world: World, found: Reachability) -> Json:
    """`kind: Reachability`."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Reachability",
        "endpoints": [endpoint_json(endpoint) for endpoint in found.endpoints],
        "connections": [connection_json(world, each) for each in found.connections],
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


def connection_json(world: World, connection: Connection) -> Json:
    """An entry of `connections`."""
    found: Json = {"from": connection.sender.id, "to": connection.receiver.id}
    if connection.family is not None:
        found["family"] = connection.family
    found["allowed"] = ports_json(connection.judged.allowed)
    if connection.judged.unknown:
        found["unknown"] = ports_json(connection.judged.unknown)
        ends = end_of(world, connection.sender), end_of(world, connection.receiver)
        found["because"] = list(doubts(world, *ends, connection.judged.unknown))
    return found


def verdict_json(verdict: Verdict) -> Json:
    """`kind: Verdict`."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Verdict",
        "from": end_json(verdict.sender),
        "to": end_json(verdict.receiver),
        "protocol": verdict.packet.protocol,
        "port": verdict.packet.port,
        "verdict": verdict.answer,
        "egress": side_json(verdict.egress),
        "ingress": side_json(verdict.ingress),
    }


def end_json(end: End) -> Json:
    """An Endpoint, or an address."""
    if end.address is not None:
        node = {"node": end.node} if end.node else {}
        return {"address": print_address(*end.address), **node}
    return {"address": None} if end.endpoint is None else endpoint_json(end.endpoint)


def side_json(side: Side) -> Json:
    """One direction."""
    found: Json = {
        "verdict": side.state,
        "isolatedBy": list(side.isolated_by),
        "rules": [reference_json(each) for each in side.rules],
        "near": [{**reference_json(each.reference), "because": each.because} for each in side.near],
    }
    if side.because:
        found["because"] = list(side.because)
    return found


def reference_json(reference: Reference) -> Json:
    """Where a rule is written."""
    return {
        "policy": reference.policy,
        "rule": reference.rule,
        "peer": reference.peer or None,
        "file": reference.file or None,
        "line": reference.line or None,
    }


def difference_json(found: Difference) -> Json:
    """`kind: Difference`."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Difference",
        "endpoints": [{**endpoint_json(each.endpoint), "side": each.side} for each in found.endpoints],
        "opened": [change_json(each) for each in found.opened],
        "closed": [change_json(each) for each in found.closed],
        "outside": {
            "opened": [outside_json(each) for each in found.outside_opened],
            "closed": [outside_json(each) for each in found.outside_closed],
        },
        "isolation": [
            {
                "endpoint": each.endpoint.id,
                "direction": each.direction,
                "old": list(each.old),
                "new": list(each.new),
            }
            for each in found.isolation
        ],
    }


def change_json(change: Change) -> Json:
    """An entry of `opened` or `closed`."""
    found: Json = {"from": change.sender.id, "to": change.receiver.id}
    if change.family is not None:
        found["family"] = change.family
    found["allowed"] = ports_json(change.ports)
    found["rules"] = [{"side": change.side, **reference_json(each)} for each in change.rules]
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
