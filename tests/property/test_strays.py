"""NP-165: what belongs to no known connection passes exactly if policies allow it both ways."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from policyd_compiler.nft.packet import CtStateName, HookName, Packet
from policyd_compiler.options import Options
from policyd_compiler.sim import Simulator
from tests.cases.form import allow_all
from tests.oracle import Connection, Oracle
from tests.routes import compile_world, node_addresses, packet
from tests.strategies.worlds import connections, worlds

NODES = ("n1", "n2", "n3")
SPORTS = st.sampled_from([0, 53, 80, 81, 443, 8080, 40000, 65535])


def exchanged(connection: Connection, sport: int) -> Connection:
    """What asks for what `connection`, sent from `sport`, would answer."""
    return Connection(connection.dst, connection.src, connection.proto, sport)


@given(data=st.data())
def test_a_stray_passes_exactly_if_it_is_allowed_as_it_goes_and_exchanged(data: st.DataObject) -> None:
    world = data.draw(worlds())
    exempt = data.draw(st.booleans())
    options = Options(node_egress="exempt" if exempt else "enforce")
    oracle = Oracle(world, node_egress_exempt=exempt)
    own = node_addresses(world)
    simulators = {node: Simulator(compile_world(world, node, options).table) for node in NODES}
    for connection in data.draw(st.lists(connections(world), min_size=5, max_size=15)):
        if connection.proto not in ("TCP", "UDP", "SCTP") or connection.left_pod:
            continue
        sport = data.draw(SPORTS)
        for node, simulator in simulators.items():
            seen = packet(connection, node, own)
            if seen is None:
                continue
            expected = oracle.node_verdict(connection, node)
            # What a pod sends to its own node answers the node, which always reaches its pods.
            if seen.hook != "input":
                expected &= oracle.node_verdict(exchanged(connection, sport), node)
            for stray in strays(replace(seen, sport=sport)):
                trace = simulator.evaluate(stray)
                assert (trace.verdict == "accept") == expected, (
                    f"node {node}: {stray}: {oracle.explain(connection, node)}\n"
                    f"{oracle.explain(exchanged(connection, sport), node)}\n" + "\n".join(trace.steps)
                )


def strays(seen: Packet) -> list[Packet]:
    """The packet as one of no connection: invalid, and of TCP from the middle."""
    found = [replace(seen, ct_state="invalid")]
    return [*found, replace(seen, tcp_syn=False)] if seen.protocol == "tcp" else found


STATES: st.SearchStrategy[CtStateName] = st.sampled_from(
    ["new", "invalid", "untracked", "related", "established"]
)
HOOKS: st.SearchStrategy[HookName] = st.sampled_from(["forward", "input", "output"])


@given(data=st.data())
def test_policies_that_allow_everything_change_no_packets_fate(data: st.DataObject) -> None:
    """Whatever connection tracking says of it, at whatever hook."""
    world = [item for item in data.draw(worlds()) if item["kind"] != "NetworkPolicy"]
    namespaces = {item["metadata"]["namespace"] for item in world if item["kind"] == "Pod"}
    own = node_addresses(world)
    open_ones = {node: Simulator(compile_world(world, node).table) for node in NODES}
    governed = [*world, *map(allow_all, sorted(namespaces))]
    judged = {node: Simulator(compile_world(governed, node).table) for node in NODES}
    for connection in data.draw(st.lists(connections(world), min_size=5, max_size=15)):
        for node in NODES:
            seen = packet(connection, node, own)
            if seen is None:
                continue
            stray = replace(
                seen,
                hook=data.draw(HOOKS),
                ct_state=data.draw(STATES),
                tcp_syn=data.draw(st.booleans()),
                sport=data.draw(SPORTS),
                hop_limit=data.draw(st.sampled_from([64, 254, 255])),
            )
            trace = judged[node].evaluate(stray)
            assert trace.verdict == open_ones[node].evaluate(stray).verdict, (
                f"node {node}: {stray}\n" + "\n".join(trace.steps)
            )
