"""The simulator is true: what it says of a packet, and what the oracle says, is what the kernel does.

Before a packet is judged, one of its kind was sent the same way without rules and did arrive: so an absence
means a verdict.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import permutations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policyd.pipeline import Build
from policyd_compiler.driver import compile_snapshot
from policyd_compiler.ir import Snapshot
from policyd_compiler.options import Options
from policyd_compiler.sim import Simulator
from tests.conformance import conformance_cases
from tests.kernel.ground import NODES, Ground, places
from tests.oracle import Connection, Manifest, Oracle
from tests.oracle.judge import WITH_PORTS
from tests.routes import compile_stored, compile_world, node_addresses, packet
from tests.strategies.clusters import Shape
from tests.strategies.snapshots import SPAN, V4, V6, allows, snapshots
from tests.strategies.worlds import random_connections, random_world
from tests.worlds import Case, recorded_cases, upstream_cases, written_cases

pytestmark = pytest.mark.kernel

#: One address is in one namespace. Every other seed has tiers beside NetworkPolicies.
SHAPES = (Shape(conflicts=False), Shape(conflicts=False, policies=3, least_policies=0, tiers=4))
WORLDS = 8  # in each test
CONNECTIONS = 120  # in each world


def random_options(rng: random.Random) -> Options:
    """Choose among the settings that change a verdict, the plain ones as often as all others."""
    if rng.random() < 0.5:
        return Options()
    return Options(
        node_egress=rng.choice(("enforce", "exempt")),
        hairpin=rng.choice(("allow", "evaluate")),
        deny=rng.choice(("drop", "reject")),
    )


def oracle_of(objects: list[Manifest], options: Options) -> Oracle:
    return Oracle(
        objects,
        node_egress_exempt=options.node_egress == "exempt",
        evaluate_hairpin=options.hairpin == "evaluate",
    )


@dataclass(frozen=True, slots=True)
class Judges:
    """What the simulator of every node says."""

    simulators: dict[str, Simulator]
    own: dict[str, frozenset[str]]

    @classmethod
    def of(cls, objects: list[Manifest], builds: dict[str, Build]) -> Judges:
        return cls({n: Simulator(b.table) for n, b in builds.items()}, node_addresses(objects))

    def allow(self, connection: Connection) -> bool:
        """Whether every node on the way lets the connection pass."""
        seen = (
            (simulator, packet(connection, node, self.own)) for node, simulator in self.simulators.items()
        )
        return all(s.evaluate(p).verdict == "accept" for s, p in seen if p is not None)


@pytest.mark.parametrize("seed", range(8))
def test_kernel_does_what_simulator_and_oracle_say(ground: Ground, seed: int, packets_counted: None) -> None:
    """For any world and packet, over all nodes on the way."""
    rng = random.Random(f"packets {seed} {ground.wiring}")
    for number in range(WORLDS):
        world = random_world(rng, SHAPES[seed % 2])
        options = random_options(rng)
        connections = [
            c for c in random_connections(rng, world, CONNECTIONS) if leaves(c) and on_link(c, world, ground)
        ]
        builds = {node: compile_world(world, node, options) for node in NODES}
        oracle = oracle_of(world, options)
        expected = [oracle.verdict(connection) for connection in connections]
        arrived = judge(ground, world, builds, connections, expected)
        simulators = Judges.of(world, builds)
        simulated = [simulators.allow(connection) for connection in connections]
        wrong = [
            f"kernel {'passes' if came else 'drops'}, simulator {thinks}: {oracle.explain(connection)}"
            for connection, came, right, thinks in zip(connections, arrived, expected, simulated, strict=True)
            if not came == right == thinks
        ]
        assert wrong == [], f"world {number} of seed {seed}, {options}"


def leaves(connection: Connection) -> bool:
    """Whether the packet leaves its pod: others meet nobody who could judge them."""
    return connection.left_pod or connection.src != connection.dst


def judge(
    ground: Ground,
    objects: list[Manifest],
    builds: dict[str, Build],
    connections: list[Connection],
    expected: list[bool],
) -> list[bool]:
    """Say which packets arrive under these rulesets."""
    ground.arrange(objects)
    ground.check_ways(connections)
    ground.load({node: build.table for node, build in builds.items()})
    return ground.fly(connections, expected)


CASES = (*recorded_cases(), *upstream_cases(), *conformance_cases(), *written_cases())
BATCHES = 16


@pytest.mark.parametrize("batch", range(BATCHES))
def test_cases(ground: Ground, batch: int, packets_counted: None) -> None:
    """Every recorded, upstream and hand-written case, through the rulesets of all nodes on the way."""
    wrong: list[str] = []
    first, end = (number * len(CASES) // BATCHES for number in (batch, batch + 1))
    for case in sorted(CASES, key=layout)[first:end]:
        probes = [
            p for p in case.probes if leaves(p.connection) and can_arrive(p.connection, case.objects, ground)
        ]
        builds = {node: compile_stored(case.objects, node) for node in NODES}
        connections, expected = [p.connection for p in probes], [p.allowed for p in probes]
        arrived = judge(ground, case.objects, builds, connections, expected)
        wrong += [
            f"{case.id}: {'passes' if came else 'drops'} {probe.text}"
            for probe, came in zip(probes, arrived, strict=True)
            if came != probe.allowed
        ]
    assert wrong == []


def layout(case: Case) -> str:
    """Cases that put pods in the same places come one after another."""
    return str(sorted(places(case.objects).items()))


def can_arrive(connection: Connection, objects: list[Manifest], ground: Ground) -> bool:
    """Whether anybody gets such a packet: routers pass no multicast on, bridges do; ND stays on its link."""
    address = ip_address(connection.dst)
    to_one = not (address.is_multicast or connection.dst == "255.255.255.255")
    return (ground.wiring == "bridged" or to_one) and on_link(connection, objects, ground)


def on_link(connection: Connection, objects: list[Manifest], ground: Ground) -> bool:
    """Whether it is no ND, or both ends are on one link: behind a router it is ND no more (NP-164)."""
    if connection.proto != "ND":
        return True
    own = {a: name for name, addresses in node_addresses(objects).items() for a in addresses}
    at = {**own, **places(objects)}
    node = at.get(connection.src)
    with_node = not own.keys().isdisjoint({connection.src, connection.dst})
    return node is not None and node == at.get(connection.dst) and (ground.wiring == "bridged" or with_node)


PORTS = (1, 79, 80, 81, 82, 443, 450, 451, 65534, 65535)
ADDRESSES = {
    4: [str(ip_address(V4 + offset)) for offset in range(SPAN)],
    6: [str(ip_address(V6 + offset)) for offset in range(SPAN)],
}


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(snapshot=snapshots(), rng=st.randoms(use_true_random=False))
def test_every_tier_between_all_pods_of_a_node(
    ground: Ground, packets_counted: None, snapshot: Snapshot, rng: random.Random
) -> None:
    """With the tiers that the oracle does not know: the kernel against the IR and the simulator."""
    ground.place_pods({address: "n1" for addresses in ADDRESSES.values() for address in addresses})
    connections = [
        Connection(a, b, proto, rng.choice(PORTS) if proto in WITH_PORTS else None)
        for addresses in ADDRESSES.values()
        for a, b in permutations(addresses, 2)
        for proto in ("TCP", "UDP", "SCTP", "ICMP", "OTHER")
    ]
    table = compile_snapshot(snapshot, Options()).table
    simulator = Simulator(table)
    ground.check_ways(connections)
    ground.load({"n1": table})
    expected = [meant(snapshot, connection) for connection in connections]
    arrived = ground.fly(connections, expected)
    wrong = []
    for connection, came, right in zip(connections, arrived, expected, strict=True):
        met = packet(connection, "n1", {})
        assert met is not None
        trace = simulator.evaluate(met)
        if not came == (trace.verdict == "accept") == right:
            wrong.append(f"kernel {'passes' if came else 'drops'} {connection}, simulator: {trace}")
    assert wrong == []


def meant(snapshot: Snapshot, connection: Connection) -> bool:
    """What the IR says, read rule by rule: the sender's egress and the receiver's ingress."""
    source, destination = ip_address(connection.src), ip_address(connection.dst)
    family = source.version
    local = {e.host.address(family): e for e in snapshot.endpoints}
    sender, receiver = local.get(int(source)), local.get(int(destination))
    flow = connection.proto.lower(), connection.dport or 0
    egress = sender.egress if sender else None
    ingress = receiver.ingress if receiver else None
    return allows(egress, snapshot, family, int(destination), *flow) and allows(
        ingress, snapshot, family, int(source), *flow
    )
