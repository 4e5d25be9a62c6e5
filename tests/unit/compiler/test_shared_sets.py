"""Sets that chains have in common change nothing: whatever the groups, a pod may do what its rules say."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

from policyd_compiler.addr import Family
from policyd_compiler.driver import compile_snapshot
from policyd_compiler.ir import Action, Endpoint, Host, Isolation, Origin, Peers, Rule, Snapshot, Stage, Tier
from policyd_compiler.layout import Group, Layout
from policyd_compiler.options import Options
from policyd_compiler.ports import PortSet
from policyd_compiler.sim import Packet, Simulator
from tests.strategies.snapshots import V4, V6, allows

HTTP, HTTPS = PortSet(tcp=((80, 80),)), PortSet(tcp=((443, 443),))
FAMILIES: tuple[Family, ...] = (4, 6)
#: The endpoint, a peer with HTTP, three with HTTPS, and one that no rule names.
HOSTS = tuple(Host(V4 + number, V6 + number) for number in range(6))
ORIGIN = (Origin("NetworkPolicy", "ns", "p", "ingress[0]"),)
RULES = (
    Rule(Action.ACCEPT, Peers(hosts=0b000010), HTTP, ORIGIN),
    Rule(Action.ACCEPT, Peers(hosts=0b011100), HTTPS, ORIGIN),
)
ISOLATION = Isolation("ingress", ORIGIN, (Stage(Tier.NETWORK_POLICY, RULES, Action.DENY),))


def snapshot_with(hosts: int, ports: PortSet) -> Snapshot:
    layout = Layout(groups=(Group("some", hosts, ports),))
    return Snapshot("n1", HOSTS, (Endpoint("ns/a", HOSTS[0], replace(ISOLATION, layout=layout), None),))


def test_no_group_changes_what_a_pod_may_do() -> None:
    for hosts, ports in product(range(0, 0b011111, 2), (HTTP, HTTPS, HTTP | HTTPS)):
        snapshot = snapshot_with(hosts, ports)
        simulator = Simulator(compile_snapshot(snapshot, Options()).table)
        for number, family, port in product(range(1, len(HOSTS)), FAMILIES, (80, 443)):
            base = V4 if family == 4 else V6
            verdict = simulator.evaluate(Packet(family, base + number, base, "tcp", port)).verdict
            expected = allows(ISOLATION, snapshot, family, base + number, "tcp", port)
            assert (verdict == "accept") == expected, (bin(hosts), ports, number, family, port)


def test_who_differs_from_a_group_stands_in_a_map_that_is_asked_first() -> None:
    table = compile_snapshot(snapshot_with(0b011110, HTTPS), Options()).table
    [group] = [part for part in table.sets if part.name.startswith("group4-")]
    assert group.elements == (V4 + 1, V4 + 2, V4 + 3, V4 + 4)
    [own] = [part for part in table.maps if part.name.startswith("peer-ports4-")]
    assert [key for key, _ in own.elements] == [V4 + 1]
    [chain] = [chain for chain in table.chains if chain.name.startswith("in4-")]
    assert [own.name in str(rule) for rule in chain.rules] == [True, False, False]
