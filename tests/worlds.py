"""The recorded and hand-written verdict tables, resolved into manifests and connections.

A `Case` is a world and the connections it must allow or deny: `recorded_cases` and `upstream_cases` come
from tests/fixtures, `written_cases` from tests/cases. Each can be put to the oracle, a simulator or a kernel.
"""

from __future__ import annotations

import copy
import json
import re
from dataclasses import dataclass, replace
from functools import cache
from ipaddress import ip_address, ip_interface
from pathlib import Path
from typing import Any

from tests.cases import places, rules, tiers, traffic
from tests.oracle import Connection, Manifest

FIXTURES = Path(__file__).parent / "fixtures"
EXTERNAL = {4: "203.0.113.7", 6: "2001:db8::7"}  # the same outsider in both families


@dataclass(frozen=True, slots=True)
class Probe:
    """One connection, its verdict, and the nodes whose rulesets it passes.

    The connection must succeed exactly if every one of `nodes` lets it through; with none, nothing judges it.
    """

    text: str
    connection: Connection
    allowed: bool
    nodes: tuple[str, ...]

    @property
    def family(self) -> int:
        """Give 4 or 6."""
        return ip_address(self.connection.src).version


@dataclass(frozen=True, slots=True)
class Case:
    id: str
    objects: list[Manifest]
    probes: tuple[Probe, ...]
    live: bool = False  # what is missing may still come, as for an agent (NP-168)


@dataclass(frozen=True, slots=True)
class Endpoint:
    address: str
    node: str | None  # whose ruleset its packets pass
    is_node: bool  # a process of the node, not a pod


@cache
def recorded_world() -> tuple[Manifest, ...]:
    """Give the cluster that recorded and written cases start from."""
    return tuple(_read("cases.json")["world"])


@cache
def recorded_cases() -> tuple[Case, ...]:
    """Give the cases of cases.json."""
    return tuple(map(resolve_case, _read("cases.json")["cases"]))


@cache
def written_cases() -> tuple[Case, ...]:
    """Give the cases of tests/cases: the rules that cases.json leaves out."""
    tables = (
        *(rules.SHAPES, rules.SELECTORS, traffic.NAMED_PORTS, traffic.PROTOCOLS, traffic.BLOCKS),
        *(places.NODES, places.LIFECYCLE, places.CLAIMED, tiers.VERDICTS, tiers.CLOSED, tiers.CLAIMED),
    )
    return tuple(resolve_case(case) for table in tables for case in table)


@cache
def unresolved_cases() -> tuple[Manifest, ...]:
    """Give cases of NetworkPolicy as they are written, for a cluster that has addresses of its own."""
    tables = (rules.SHAPES, rules.SELECTORS, traffic.NAMED_PORTS, traffic.PROTOCOLS, places.NODES)
    return (*_read("cases.json")["cases"], *(case for table in tables for case in table))


@cache
def unreal_cases() -> tuple[Case, ...]:
    """Give cases that no network can be built for: impossible addresses, and what is known half."""
    live = (replace(resolve_case(case), live=True) for case in places.LIVE)
    return (*(resolve_case(case) for case in places.IMPOSSIBLE), *live)


def resolve_case(case: Manifest) -> Case:
    """Turn a case in the form of cases.json into manifests and connections.

    A probe without a family is put in both, unless a CIDR or a single-stack endpoint ties it to one.
    """
    objects = copy.deepcopy([*recorded_world(), *case["objects"]])
    text = json.dumps(case["objects"])
    families = (4,) if "ipBlock" in text or "networks" in text else (4, 6)
    probes = []
    for probe in case["probes"]:
        found = resolve_probe(objects, probe, families)
        if probe.get("family", 4) not in (p.family for p in found):
            raise ValueError(f"{case['id']}: no IPv{probe.get('family', 4)} for {probe}")
        probes.extend(found)
    return Case(case["id"], objects, tuple(probes))


def resolve_probe(objects: list[Manifest], probe: Manifest, families: tuple[int, ...]) -> list[Probe]:
    """Find the addresses of a probe's ends, in its family or in each of `families` that both ends have."""
    probes = []
    for family in (probe["family"],) if "family" in probe else families:
        source, destination = (_endpoint(objects, probe[end], family) for end in ("src", "dst"))
        if source is not None and destination is not None:
            probes.append(_resolve_probe(probe, source, destination))
    return probes


def _read(name: str) -> Any:
    return json.loads((FIXTURES / name).read_text())


def _resolve_probe(probe: Manifest, source: Endpoint, destination: Endpoint) -> Probe:
    connection = Connection(
        src=source.address,
        dst=destination.address,
        proto=probe["proto"],
        dport=probe.get("port"),
        local_node=source.node if source.is_node else None,
        left_pod=probe.get("hairpin", False),
    )
    nodes = sorted({end.node for end in (source, destination) if end.node is not None})
    port = f"/{connection.dport}" if connection.dport is not None else ""
    family = ip_address(source.address).version
    text = f"{probe['src']} > {probe['dst']} {probe['proto']}{port} IPv{family}"
    return Probe(text, connection, probe["expect"] == "ALLOW", tuple(nodes))


def _endpoint(objects: list[Manifest], text: str, family: int) -> Endpoint | None:
    """Resolve `ns/pod`, `node:NAME` or `ext:ADDRESS`; None where it has no address of the family."""
    kind, _, name = text.partition(":")
    if kind == "ext":
        address = EXTERNAL[family] if name in EXTERNAL.values() else name
        return Endpoint(address, None, is_node=False) if ip_address(address).version == family else None
    if kind == "node":
        node = _named(objects, "Node", None, name)
        texts = [a["address"] for a in node["status"]["addresses"] if a["type"] == "InternalIP"]
        own = _of_family(texts, family)
        return None if own is None else Endpoint(own, name, is_node=True)
    namespace, _, name = text.partition("/")
    pod = _named(objects, "Pod", namespace, name)
    status = pod["status"]
    texts = [entry["ip"] for entry in status.get("podIPs") or []] or [status.get("podIP", "")]
    held = _of_family(texts, family)
    on_host = pod["spec"].get("hostNetwork", False)
    return None if held is None else Endpoint(held, pod["spec"]["nodeName"], on_host)


def _named(objects: list[Manifest], kind: str, namespace: str | None, name: str) -> Manifest:
    [found] = [
        manifest
        for manifest in objects
        if (manifest["kind"], manifest["metadata"].get("namespace"), manifest["metadata"]["name"])
        == (kind, namespace, name)
    ]
    return found


def _of_family(texts: list[str], family: int) -> str | None:
    return next((text for text in texts if text and ip_address(text).version == family), None)


@cache
def upstream_cases() -> tuple[Case, ...]:
    """Give every step of the upstream e2e tests, once in each family."""
    return tuple(
        case for test in _read("upstream-e2e.json") for family in (4, 6) for case in _steps(test, family)
    )


def _steps(test: Manifest, family: int) -> list[Case]:
    model = upstream_model()
    cases = []
    for number, step in enumerate(test["steps"], start=1):
        for operation in step["ops"]:
            _label(model, operation)
        policies = json.loads(_fill_placeholders(json.dumps(step["policies"]), model, family))
        objects = [*copy.deepcopy(model), *policies]
        probes = tuple(
            _upstream_probe(objects, source, destination, step, family)
            for source in test["pods"]
            for destination in test["pods"]
            if source != destination
        )
        cases.append(Case(f"{test['id']}.{number}-ipv{family}", objects, probes))
    return cases


def upstream_model() -> list[Manifest]:
    """Build the model of the e2e suite: namespaces x, y, z with pods a, b, c, dealt out to two nodes."""
    nodes: list[Manifest] = [
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": f"n{number}"},
            "status": {
                "addresses": [
                    {"type": "InternalIP", "address": f"192.0.2.{number}"},
                    {"type": "InternalIP", "address": f"2001:db8:1::{number}"},
                ]
            },
        }
        for number in (1, 2)
    ]
    namespaces: list[Manifest] = [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
        }
        for name in "xyz"
    ]
    return [*nodes, *namespaces, *(_upstream_pod(number) for number in range(9))]


def _upstream_pod(number: int) -> Manifest:
    namespace, name = "xyz"[number // 3], "abc"[number % 3]
    addresses = [f"10.244.{number // 3}.{10 + number % 3}", f"fd00:10:244:{number // 3}::{10 + number % 3:x}"]
    ports = [
        {"name": f"serve-{port}-{protocol.lower()}", "protocol": protocol, "containerPort": port}
        for port in (80, 81)
        for protocol in ("TCP", "UDP", "SCTP")
    ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "namespace": namespace,
            "name": name,
            "uid": f"{namespace}/{name}",
            "labels": {"pod": name},
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {"nodeName": f"n{1 + number % 2}", "containers": [{"name": "c", "ports": ports}]},
        "status": {
            "phase": "Running",
            "startTime": "2026-01-01T00:00:00Z",
            "podIP": addresses[0],
            "podIPs": [{"ip": address} for address in addresses],
        },
    }


def _label(model: list[Manifest], operation: str) -> None:
    """Apply a label operation; the policies of a step are already those after its other operations."""
    if match := re.fullmatch(r"label (namespace|pod) (?:(\w)/)?(\w) (\w+)=(\w+)", operation):
        kind, namespace, name, key, value = match.groups()
        _named(model, kind.capitalize(), namespace, name)["metadata"]["labels"][key] = value
    elif not re.match(r"update policy|delete every policy|UPDATE \(replace\) policy", operation):
        raise ValueError(f"unknown operation {operation!r}")


def _fill_placeholders(text: str, model: list[Manifest], family: int) -> str:
    def address(match: re.Match[str]) -> str:
        endpoint = _endpoint(model, match[2], family)
        assert endpoint is not None
        if match[1] == "SLASH4":
            return str(ip_interface(f"{endpoint.address}/4").network)
        return endpoint.address

    filled = re.sub(r"(IP|SLASH4)\((\w/\w)\)", address, text)
    return filled if family == 4 else filled.replace('/32"', '/128"')


def _upstream_probe(
    objects: list[Manifest], source: str, destination: str, step: Manifest, family: int
) -> Probe:
    ends = _endpoint(objects, source, family), _endpoint(objects, destination, family)
    assert ends[0] is not None
    assert ends[1] is not None
    denied = f"{source}>{destination}" in step["denied_pairs"]
    expect = "DENY" if denied else "ALLOW"
    probe = {"src": source, "dst": destination, "proto": step["protocol"], "port": step["port"]}
    return _resolve_probe({**probe, "expect": expect}, ends[0], ends[1])
