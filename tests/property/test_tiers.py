"""Worlds with all three tiers: simulator(compile(manifests), packet) = oracle(manifests, packet)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policyd_compiler.options import Options
from policyd_compiler.sim import Simulator
from tests.cases.form import pod
from tests.cases.tiers import rule, tier
from tests.oracle import Connection, Manifest, Oracle
from tests.routes import compile_live, compile_world, node_addresses, packet
from tests.strategies.clusters import Shape
from tests.strategies.worlds import connections, worlds
from tests.worlds import recorded_world

NODES = ("n1", "n2", "n3")
#: Three tiers and what they do to each other need more of them than other laws do.
WORLDS = 500
#: As the CRD takes them, and as a server may hold them.
GOOD = Shape(policies=3, least_policies=0, tiers=4)
STRANGE = Shape(policies=2, least_policies=0, tiers=4, strange_tiers=True)


@settings(max_examples=WORLDS // 2)
@pytest.mark.parametrize("shape", [GOOD, STRANGE], ids=["good", "strange"])
@given(data=st.data())
def test_every_node_does_what_the_oracle_says(shape: Shape, data: st.DataObject) -> None:
    """For any world and packet, each node on the way passes the packet if and only if the oracle says so."""
    world = data.draw(worlds(shape))
    options = Options(
        node_egress=data.draw(st.sampled_from(["enforce", "exempt"])),
        hairpin=data.draw(st.sampled_from(["allow", "evaluate"])),
    )
    live = shape is STRANGE or data.draw(st.booleans())
    oracle = Oracle(
        world,
        live=live,
        node_egress_exempt=options.node_egress == "exempt",
        evaluate_hairpin=options.hairpin == "evaluate",
    )
    compiled = compile_live if live else compile_world
    simulators = {node: Simulator(compiled(world, node, options).table) for node in NODES}
    for connection in data.draw(st.lists(connections(world), min_size=5, max_size=15)):
        judge(world, oracle, simulators, connection)


def judge(
    world: list[Manifest], oracle: Oracle, simulators: dict[str, Simulator], connection: Connection
) -> None:
    """Put a packet to each node and to the oracle."""
    own = node_addresses(world)
    for node, simulator in simulators.items():
        seen = packet(connection, node, own)
        if seen is None:
            continue
        trace = simulator.evaluate(seen)
        expected = oracle.node_verdict(connection, node)
        assert (trace.verdict == "accept") == expected, (
            f"node {node}: {oracle.explain(connection, node)}\n" + "\n".join(trace.steps)
        )


def test_pods_of_an_unknown_namespace_are_pods() -> None:
    """CNP-020, NP-168: who says nothing of namespaces means those, too, that may still come."""
    unknown = pod("new/a", "10.244.9.9", "fd00:10:244:9::9", node="n2")
    deny = tier(ingress=[rule("Deny", {"pods": {"podSelector": {}}})])
    objects = [*recorded_world(), unknown, deny]
    connection = Connection("10.244.9.9", "10.244.1.10", "TCP", 80)
    oracle = Oracle(objects, live=True)
    simulators = {node: Simulator(compile_live(objects, node).table) for node in ("n1", "n2")}
    judge(objects, oracle, simulators, connection)
    assert not oracle.verdict(connection)


def test_ties_are_reported() -> None:
    """CNP-012"""
    rules = [rule("Deny", {"namespaces": {}})]
    objects = [*recorded_world(), tier("b", ingress=rules), tier("a", ingress=rules), tier("c", priority=11)]
    [warning] = compile_live(objects, "n1").warnings
    assert "ClusterNetworkPolicies a, b have one priority, Admin 10" in warning
