"""docs/cluster-network-policy.md: each recipe does to packets what the table below it says."""

from __future__ import annotations

import json
import re
from ipaddress import ip_address

import pytest
import yaml

from policyd_compiler.sim import Simulator
from tests.lint.linting import rules
from tests.oracle import Connection, Manifest, Oracle
from tests.routes import compile_world, node_addresses, packet
from tests.support.sources import ROOT

PAGE = (ROOT / "docs" / "cluster-network-policy.md").read_text()
NODES = ("n1", "n2")
NAMESPACES = {
    "shop": {"team": "blue", "env": "prod"},
    "blog": {"team": "green", "env": "prod"},
    "lab": {"team": "red", "env": "dev"},
    "monitoring": {},
    "kube-system": {},
}
PODS: dict[str, dict[str, str]] = {
    "shop/web": {"app": "web"},
    "shop/db": {"app": "db"},
    "blog/web": {"app": "web"},
    "lab/tool": {"app": "tool"},
    "lab/suspect": {"app": "tool", "quarantine": "true"},
    "monitoring/prometheus": {"app": "prometheus"},
    "kube-system/dns": {"k8s-app": "kube-dns"},
}
_RECIPE = re.compile(r"^### (\d+)\. (.+?)$(.*?)(?=^##)", re.MULTILINE | re.DOTALL)
RECIPES = {int(number): (title, body) for number, title, body in _RECIPE.findall(PAGE)}
_ROW = re.compile(r"^\| (?!from)(\S.*?) \| (.+?) \| (TCP|UDP) (\d+) \| (passes|denied) \|$", re.MULTILINE)


def world() -> list[Manifest]:
    """The cluster that the page describes."""
    objects: list[Manifest] = []
    for number, name in enumerate(NODES, start=1):
        role = {"node-role.kubernetes.io/control-plane": ""} if number == 1 else {}
        addresses = [f"192.0.2.{number}", f"2001:db8:1::{number}"]
        objects.append(
            {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": name, "labels": role},
                "status": {"addresses": [{"type": "InternalIP", "address": each} for each in addresses]},
            }
        )
    for name, labels in NAMESPACES.items():
        objects.append(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        )
    objects.extend(_pod(number, path, labels) for number, (path, labels) in enumerate(PODS.items()))
    return objects


def _pod(number: int, path: str, labels: dict[str, str]) -> Manifest:
    namespace, name = path.split("/")
    ports = [{"name": "metrics", "containerPort": 9090}] if path == "shop/web" else []
    addresses = [f"10.244.1.{10 + number}", f"fd00:10:244::{10 + number}"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": namespace, "name": name, "uid": path, "labels": labels},
        "spec": {"nodeName": NODES[number % 2], "containers": [{"name": "c", "ports": ports}]},
        "status": {
            "phase": "Running",
            "podIP": addresses[0],
            "podIPs": [{"ip": address} for address in addresses],
        },
    }


def policies_of(number: int) -> list[Manifest]:
    """What a recipe is written as."""
    _, body = RECIPES[number]
    [text] = re.findall(r"^```yaml\n(.*?)^```$", body, re.MULTILINE | re.DOTALL)
    return list(yaml.safe_load_all(text))


def ends(objects: list[Manifest], text: str) -> tuple[list[str], str | None]:
    """The addresses of an end as a table names it; of a node's own process, whose it is."""
    if text.startswith("node "):
        name = text.removeprefix("node ")
        return sorted(node_addresses(objects)[name]), name
    if "/" not in text:
        return [text], None
    [found] = [o for o in objects if o["kind"] == "Pod" and o["metadata"]["uid"] == text]
    return [entry["ip"] for entry in found["status"]["podIPs"]], None


def connections(objects: list[Manifest], row: tuple[str, ...]) -> list[Connection]:
    """The packets of a row, in each family that both ends have."""
    source, destination, protocol, port, _ = row
    sources, node = ends(objects, source)
    destinations, _ = ends(objects, destination)
    return [
        Connection(a, b, protocol, int(port), node)
        for a in sources
        for b in destinations
        if ip_address(a).version == ip_address(b).version
    ]


def test_there_are_ten() -> None:
    assert list(RECIPES) == list(range(1, 11))


@pytest.mark.parametrize("number", range(1, 11), ids=lambda number: f"{number}. {RECIPES[number][0]}")
def test_a_recipe_does_what_the_page_says(number: int) -> None:
    _, body = RECIPES[number]
    rows = _ROW.findall(body)
    assert len(rows) >= 3
    assert {row[-1] for row in rows} == {"passes", "denied"}
    objects = [*world(), *policies_of(number)]
    own = node_addresses(objects)
    oracle = Oracle(objects)
    simulators = {node: Simulator(compile_world(objects, node).table) for node in NODES}
    for row in rows:
        for connection in connections(objects, row):
            seen = [(simulator, packet(connection, node, own)) for node, simulator in simulators.items()]
            passed = all(s.evaluate(p).verdict == "accept" for s, p in seen if p is not None)
            expected = row[-1] == "passes"
            assert (passed, oracle.verdict(connection)) == (expected, expected), oracle.explain(connection)


@pytest.mark.parametrize("numbers", [(number,) for number in RECIPES] + [tuple(RECIPES)], ids=str)
def test_lint_has_nothing_to_say_of_the_tiers(numbers: tuple[int, ...]) -> None:
    """Neither of a recipe alone nor of all together, in the cluster that the page describes."""
    policies = [m for n in numbers for m in policies_of(n) if m["kind"] == "ClusterNetworkPolicy"]
    found = rules(*map(json.dumps, (*world(), *policies)), shop=False, world="complete")
    assert [rule for rule, _ in found if rule.startswith("NP5")] == []
