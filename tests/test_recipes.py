"""docs/cluster-network-policy.md: each recipe does to packets what the table below it says."""

from __future__ import annotations

import re
from ipaddress import ip_address

import pytest

from policyd_compiler.sim import Simulator
from tests.oracle import Connection, Manifest, Oracle
from tests.recipes import NODES, RECIPES, policies_of, world
from tests.routes import compile_world, node_addresses, packet

_ROW = re.compile(r"^\| (?!from)(\S.*?) \| (.+?) \| (TCP|UDP) (\d+) \| (passes|denied) \|$", re.MULTILINE)


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
