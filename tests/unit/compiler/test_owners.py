"""Which policies an object serves, and that the answer costs nothing before somebody asks."""

from __future__ import annotations

import tracemalloc

from policyd_compiler.driver import compile_snapshot
from policyd_compiler.nft.ast import Table
from policyd_compiler.options import Options
from tests.cases.form import block, egress, ingress, namespace, pod, pods
from tests.oracle import Manifest
from tests.routes import compile_stored

WORLD = [
    namespace("x"),
    *(pod(f"x/{name}", f"10.0.0.{number}") for number, name in enumerate("abc", start=1)),
    ingress("x", "a", {"from": [pods(pod="c")], "ports": [{"port": 80}]}, name="web"),
    ingress("x", "b", {"from": [pods(pod="c")], "ports": [{"port": 80}]}, name="also-web"),
    ingress("x", "b", {"from": [block("20.0.0.0/8")], "ports": [{"port": 443}]}, name="blocks"),
    ingress("x", "b", {"from": [block("30.0.0.0/8")], "ports": [{"port": 444}]}, name="more"),
    egress("x", "c", {"to": [block("40.0.0.0/8")]}, name="out"),
]


def names(table: Table) -> list[str]:
    """What its sets and maps are called."""
    return [*(part.name for part in table.sets), *(part.name for part in table.maps)]


def test_an_object_serves_the_policies_of_every_chain_that_leads_to_it() -> None:
    """Directly or through verdict maps and port chains; a policy of one pod is not named for another's."""
    table, owners = (built := compile_stored(WORLD, "n1")).table, built.owners
    web, b_s = frozenset({"x/web"}), frozenset({"x/also-web", "x/blocks", "x/more"})
    found = {
        name.split("-")[0] if name.startswith("in4") else name: policies for name, policies in owners.items()
    }
    assert found["ports-tcp.80"] == web | b_s
    assert found.get("ports-tcp.443") == found.get("ports-tcp.444") == b_s
    by_kind = {
        kind: {owners[name] for name in names(table) if name.startswith(kind)}
        for kind in ("group4", "peer-ports4", "range-ports4", "ranges4")
    }
    # The policies of b open other ports to blocks, so its peers may differ, and stand in a map of its own.
    shared = {"group4": {web | b_s}, "range-ports4": {b_s}, "ranges4": {frozenset({"x/out"})}}
    assert by_kind == {**shared, "peer-ports4": {b_s}}
    chains = {owners[chain.name] for chain in table.chains if chain.name.startswith(("in4", "out4"))}
    assert chains == {web, b_s, frozenset({"x/out"})}


def test_what_serves_all_pods_serves_no_policy() -> None:
    table, owners = (built := compile_stored(WORLD, "n1")).table, built.owners
    everybody = [name for name in names(table) if name.startswith(("governed", "ingress"))]
    assert everybody
    for name in (*everybody, "forward", "input", "output", "no-such-name"):
        assert name not in owners
        assert owners.get(name, frozenset()) == frozenset()


def many(count: int) -> list[Manifest]:
    """Policies with a block and a port of their own, each for both pods of the node."""
    rules = (
        ingress(
            "x",
            None,
            {"from": [block(f"198.18.{n >> 8}.{n & 255}/32")], "ports": [{"port": 1 + n}]},
            name=f"p{n}",
        )
        for n in range(count)
    )
    return [namespace("x"), pod("x/a", "10.0.0.1"), pod("x/b", "10.0.0.2"), *rules]


def test_the_memory_to_compile_grows_with_the_policies_and_not_with_their_square() -> None:
    """10 000 policies of one rule each took 10 GB, one set of owners for each port chain."""
    peaks = []
    for count in (250, 2000):
        snapshot = compile_stored(many(count), "n1").snapshot
        tracemalloc.start()
        try:
            compile_snapshot(snapshot, Options())
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert peaks[1] < 2 * 8 * peaks[0]
