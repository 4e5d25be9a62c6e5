"""Snapshot → JSON, for `policyd compile -o ir`. The published form: masks are written out as addresses.

The schema next to this file's functions (`schema`) is what `policyd schema ir` prints and docs publish.
"""

from __future__ import annotations

import json
from typing import TypeAlias

from policyd_compiler.addr import Ranges, cover_prefixes, print_address
from policyd_compiler.ir import Endpoint, Host, Isolation, Origin, Peers, Rule, Snapshot
from policyd_compiler.ports import EVERYTHING, PortSet

Json: TypeAlias = dict[str, "Json"] | list["Json"] | str | int | bool | None

API_VERSION = "policyd/ir/v1"

_TEXT: Json = {"type": "string"}
_TEXTS: Json = {"type": "array", "items": _TEXT}


def print_ir(snapshot: Snapshot) -> str:
    """The snapshot as indented JSON with sorted, stable contents and a last newline."""
    return json.dumps(to_json(snapshot), indent=2, ensure_ascii=False) + "\n"


def to_json(snapshot: Snapshot) -> Json:
    """The snapshot as JSON values. Isolations are listed once and referred to by number."""
    numbers: dict[int, int] = {}
    isolations: list[Json] = []
    for endpoint in snapshot.endpoints:
        for isolation in (endpoint.ingress, endpoint.egress):
            if isolation is not None and id(isolation) not in numbers:
                numbers[id(isolation)] = len(isolations)
                isolations.append(_isolation(isolation, snapshot.hosts))
    return {
        "apiVersion": API_VERSION,
        "kind": "Snapshot",
        "node": snapshot.node,
        "endpoints": [_endpoint(endpoint, numbers) for endpoint in snapshot.endpoints],
        "isolations": isolations,
    }


def _endpoint(endpoint: Endpoint, numbers: dict[int, int]) -> Json:
    def number(isolation: Isolation | None) -> Json:
        return None if isolation is None else numbers[id(isolation)]

    return {
        "pod": endpoint.key,
        "addresses": list(_addresses(endpoint.host)),
        "ingress": number(endpoint.ingress),
        "egress": number(endpoint.egress),
    }


def _addresses(host: Host) -> tuple[str, ...]:
    v4 = () if host.v4 is None else (print_address(4, host.v4),)
    v6 = () if host.v6 is None else (print_address(6, host.v6),)
    return (*v4, *v6)


def _isolation(isolation: Isolation, hosts: tuple[Host, ...]) -> Json:
    return {
        "direction": isolation.direction,
        "policies": [_origin(origin) for origin in isolation.policies],
        "stages": [
            {
                "tier": stage.tier.value,
                "rules": [_rule(rule, hosts) for rule in stage.rules],
                "otherwise": stage.otherwise.value,
                **({"claimant": stage.claimant} if stage.claimant else {}),
            }
            for stage in isolation.stages
        ],
    }


def _origin(origin: Origin) -> Json:
    out: dict[str, Json] = {"kind": origin.kind, "namespace": origin.namespace, "name": origin.name}
    if origin.rule:
        out["rule"] = origin.rule
    if origin.file:
        out["file"] = origin.file
        out["line"] = origin.line
    return out


def _rule(rule: Rule, hosts: tuple[Host, ...]) -> Json:
    return {
        "action": rule.action.value,
        "peers": _peers(rule.peers, hosts),
        "ports": _ports(rule.ports),
        "origins": [_origin(origin) for origin in rule.origins],
    }


def _peers(peers: Peers, hosts: tuple[Host, ...]) -> Json:
    if peers.anything:
        return "any"
    pods: list[Json] = []
    mask = peers.hosts
    while mask:
        low = mask & -mask
        pods.extend(_addresses(hosts[low.bit_length() - 1]))
        mask ^= low
    ranges: list[Json] = [*_prefixes(4, peers.v4), *_prefixes(6, peers.v6)]
    return {"pods": pods, "cidrs": ranges}


def _prefixes(family: int, ranges: Ranges) -> list[str]:
    return [
        f"{print_address(family, network)}/{length}"
        for interval in ranges
        for network, length in cover_prefixes(family, interval)  # type: ignore[arg-type]
    ]


def _ports(ports: PortSet) -> Json:
    if ports == EVERYTHING:
        return "any"
    out: dict[str, Json] = {}
    for protocol, ranges in (("tcp", ports.tcp), ("udp", ports.udp), ("sctp", ports.sctp)):
        if ranges:
            out[protocol] = [[low, high] for low, high in ranges]
    if ports.other:
        out["other"] = True
    return out


def schema() -> Json:
    """The JSON Schema (2020-12) of `print_ir`'s output."""
    number: Json = {"type": ["integer", "null"], "minimum": 0, "description": "into isolations; null: open"}
    endpoint = _object({"pod": _TEXT, "addresses": _TEXTS, "ingress": number, "egress": number})
    top = _object(
        {
            "apiVersion": {"const": API_VERSION},
            "kind": {"const": "Snapshot"},
            "node": _TEXT,
            "endpoints": {"type": "array", "items": endpoint},
            "isolations": {"type": "array", "items": _isolation_schema()},
        }
    )
    line: Json = {"type": "integer", "minimum": 0, "description": "0: not known"}
    place: dict[str, Json] = {"rule": _TEXT, "file": _TEXT, "line": line}
    origin = _object(
        {"kind": _TEXT, "namespace": _TEXT, "name": _TEXT, **place}, required=["kind", "namespace", "name"]
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What one node must enforce, as policyd compile -o ir prints it",
        **top,
        "$defs": {"origin": origin},
    }


def _isolation_schema() -> Json:
    origins: Json = {"type": "array", "items": {"$ref": "#/$defs/origin"}, "minItems": 1}
    peers: Json = {"anyOf": [{"const": "any"}, _object({"pods": _TEXTS, "cidrs": _TEXTS})]}
    action: Json = {"enum": ["accept", "deny", "pass"]}
    rule = _object({"action": action, "peers": peers, "ports": _ports_schema(), "origins": origins})
    stage = _object(
        {
            "tier": {"enum": ["admin", "networkpolicy", "baseline"]},
            "rules": {"type": "array", "items": rule},
            "otherwise": {"enum": ["deny", "pass"]},
            "claimant": {
                "type": "integer",
                "minimum": 1,
                "description": "whose stage it is, where several pods claim an address; without, the first's",
            },
        },
        required=["tier", "rules", "otherwise"],
    )
    return _object(
        {
            "direction": {"enum": ["ingress", "egress"]},
            "policies": origins,
            "stages": {"type": "array", "items": stage, "minItems": 1},
        }
    )


def _ports_schema() -> Json:
    number: Json = {"type": "integer", "minimum": 0, "maximum": 65535}
    pair: Json = {"type": "array", "prefixItems": [number, number], "minItems": 2, "maxItems": 2}
    ranges: Json = {
        "type": "array",
        "items": pair,
        "description": "inclusive [low, high] pairs, sorted and disjoint",
    }
    protocols: dict[str, Json] = {"tcp": ranges, "udp": ranges, "sctp": ranges, "other": {"const": True}}
    return {"anyOf": [{"const": "any"}, _object(protocols, required=[])]}


def _object(properties: dict[str, Json], required: list[str] | None = None) -> dict[str, Json]:
    names: list[Json] = list(properties) if required is None else list(required)
    return {"type": "object", "properties": properties, "required": names, "additionalProperties": False}
