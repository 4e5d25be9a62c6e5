"""The law that matters most: simulator(compile(manifests), packet) = oracle(manifests, packet)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policyd_compiler.options import Options
from policyd_compiler.sim import Simulator
from tests.conformance import conformance_cases
from tests.oracle import Oracle
from tests.routes import (
    compile_live,
    compile_stored,
    compile_world,
    node_addresses,
    not_proved,
    packet,
    state_of,
)
from tests.strategies.worlds import connections, worlds
from tests.worlds import Case, recorded_cases, unreal_cases, upstream_cases, written_cases

NODES = ("n1", "n2", "n3")


@given(data=st.data())
def test_every_node_does_what_the_oracle_says(data: st.DataObject) -> None:
    """For any world and packet, each node on the way passes the packet if and only if the oracle says so.

    For some packets the oracle is asked; for all packets the proof, which reads policies on its own.
    """
    world = data.draw(worlds())
    options = Options(
        node_egress=data.draw(st.sampled_from(["enforce", "exempt"])),
        hairpin=data.draw(st.sampled_from(["allow", "evaluate"])),
        deny=data.draw(st.sampled_from(["drop", "reject"])),
    )
    live = data.draw(st.booleans())
    oracle = Oracle(
        world,
        live=live,
        node_egress_exempt=options.node_egress == "exempt",
        evaluate_hairpin=options.hairpin == "evaluate",
    )
    compiled = compile_live if live else compile_world
    builds = {node: compiled(world, node, options) for node in NODES}
    state = state_of(world, live=live)
    for node, built in builds.items():
        assert not not_proved(state, node, built, options)
    simulators = {node: Simulator(built.table) for node, built in builds.items()}
    own = node_addresses(world)
    for connection in data.draw(st.lists(connections(world), min_size=5, max_size=15)):
        for node, simulator in simulators.items():
            seen = packet(connection, node, own)
            if seen is None:
                continue
            trace = simulator.evaluate(seen)
            expected = oracle.node_verdict(connection, node)
            assert (trace.verdict == "accept") == expected, (
                f"node {node}: {oracle.explain(connection, node)}\n" + "\n".join(trace.steps)
            )


CASES = (*recorded_cases(), *upstream_cases(), *conformance_cases(), *written_cases(), *unreal_cases())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_case(case: Case) -> None:
    """Every recorded, upstream and hand-written case, through the simulator of every node on the way."""
    own, state = node_addresses(case.objects), state_of(case.objects, live=case.live)
    simulators: dict[str, Simulator] = {}
    for probe in case.probes:
        passed = True
        for node in probe.nodes:
            if node not in simulators:
                compiled = compile_live if case.live else compile_stored
                built = compiled(case.objects, node)
                assert not not_proved(state, node, built)
                simulators[node] = Simulator(built.table)
            seen = packet(probe.connection, node, own)
            if seen is not None:
                passed &= simulators[node].evaluate(seen).verdict == "accept"
        assert passed == probe.allowed, f"{case.id}: {probe.text}"
