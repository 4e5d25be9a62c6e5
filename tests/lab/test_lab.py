"""A lab is a small cluster: everybody reaches everybody, in both families, and packets tell who is who."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from policyd.errors import EnvironmentRefused
from policyd.lab.lab import Lab
from policyd.lab.namespace import Namespace
from policyd.lab.plan import Bridged, NodePlan, PodPlan, Routed, Wiring
from policyd.lab.probes import MOST_AT_ONCE, Outcome, Probe, probe_all
from policyd.lab.servers import MOST_CONNECTIONS, Servers
from tests.lab.packets import Shot, craft
from tests.lab.wire import Arrival, Wire

pytestmark = pytest.mark.kernel

OUTSIDE = ("203.0.113.7", "2001:db8::7")
NODE_SOURCES = {  # whom a pod of n1 sees when its node speaks
    "routed": ("192.0.2.1", "2001:db8:1::1"),
    "bridged": ("10.1.0.254", "fd00:1::fe"),
}


def pod(name: str, node: int, number: int) -> PodPlan:
    return PodPlan(name, (f"10.{node}.0.{number}", f"fd00:{node}::{number:x}"))


def node(number: int, wiring: str) -> NodePlan:
    addresses = (f"192.0.2.{number}", f"2001:db8:1::{number}")
    kind: Wiring = Routed()
    if wiring == "bridged":
        kind = Bridged((f"10.{number}.0.254", f"fd00:{number}::fe"))
    return NodePlan(
        f"n{number}", addresses, (pod(f"a/{number}", number, 1), pod(f"b/{number}", number, 2)), kind
    )


@pytest.fixture(params=["routed", "bridged"])
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    with Lab([node(1, request.param), node(2, request.param)]) as lab:
        yield lab


@pytest.fixture
def wiring(request: pytest.FixtureRequest) -> str:
    return str(request.node.callspec.params["lab"])


@pytest.mark.timeout(60)
def test_servers_end_though_a_process_that_was_forked_holds_their_sockets() -> None:
    servers = Servers()
    with servers._waker.dup():  # as a child has it between fork and exec
        servers.close()
        servers.close()
    assert not servers._thread.is_alive()


def holders(lab: Lab) -> dict[str, Namespace]:
    """Everybody's addresses, and where they are."""
    addresses = [address for pod in lab.pods.values() for address in pod.plan.addresses]
    addresses += [a for number in (1, 2) for a in node(number, "routed").addresses]
    return {address: lab.home(address) for address in (*addresses, *OUTSIDE)}


def add_rules(place: Namespace, hook: str, *rules: str) -> None:
    lines = ["add table inet t", f"add chain inet t c {{ type filter hook {hook} priority 0; }}"]
    lines += [f"add rule inet t c {rule}" for rule in rules]
    result = place.run(["nft", "-f", "-"], "\n".join(lines) + "\n")
    assert result.returncode == 0, result.stderr


def test_everybody_reaches_everybody(lab: Lab, wiring: str) -> None:
    ends = holders(lab)
    for address, place in ends.items():
        lab.servers.listen(place, "tcp", address, 80)
        lab.servers.listen(place, "udp", address, 53)
    sources = list(dict.fromkeys(ends.values()))
    probes = [Probe(s, a, "tcp", 80) for s in sources for a in ends]
    probes += [Probe(s, a, "udp", 53) for s in sources for a in ends]
    outcomes = probe_all(probes, 5)
    assert [p for p, o in zip(probes, outcomes, strict=True) if o.result != "answered"] == []
    seen = {(p.source.label, p.address): o.seen_as for p, o in zip(probes, outcomes, strict=True)}
    assert seen["a/1", "10.2.0.1"] == "10.1.0.1"
    assert seen["a/1", "fd00:1::2"] == "fd00:1::1"
    assert (seen["n1", "10.1.0.1"], seen["n1", "fd00:1::1"]) == NODE_SOURCES[wiring]
    assert (seen["n1", "10.2.0.1"], seen["n1", "fd00:2::1"]) == ("192.0.2.1", "2001:db8:1::1")
    assert (seen["outside", "10.1.0.1"], seen["outside", "fd00:1::1"]) == OUTSIDE


def test_the_outside_is_everybody_else(lab: Lab) -> None:
    place = lab.pods["a/1"].namespace
    lab.servers.listen(lab.outside, "udp", "198.51.100.77", 53)
    lab.servers.listen(lab.outside, "udp", "2001:db8:dead::1", 53)
    lab.servers.listen(place, "tcp", "fd00:1::1", 80)
    probes = [
        Probe(place, "198.51.100.77", "udp", 53),
        Probe(place, "2001:db8:dead::1", "udp", 53),
        Probe(lab.outside, "fd00:1::1", "tcp", 80, source_address="2001:db8:beef::2"),
    ]
    assert probe_all(probes, 5) == [
        Outcome("answered", "10.1.0.1"),
        Outcome("answered", "fd00:1::1"),
        Outcome("answered", "2001:db8:beef::2"),
    ]


def test_outcomes_say_who_refused(lab: Lab) -> None:
    """Closed ports refuse, rules drop in silence or send an error, and no address is unreachable at once."""
    place = lab.pods["a/1"].namespace
    add_rules(
        lab.nodes["n2"], "forward", "tcp dport 1 drop", "tcp dport 2 reject with icmpx admin-prohibited"
    )
    probes = [Probe(place, "10.2.0.1", "tcp", 9), Probe(place, "fd00:2::1", "udp", 9)]
    probes += [Probe(place, "fd00:2::1", "tcp", port) for port in (1, 2)]
    place.ip(["route add unreachable 10.99.0.0/16"])
    probes.append(Probe(place, "10.99.0.1", "tcp", 80))
    probes.append(Probe(place, "10.2.0.1", "tcp", 2))
    results = [outcome.result for outcome in probe_all(probes, 4)]
    assert results == ["refused", "refused", "silent", "unreachable", "unreachable", "unreachable"]


def test_more_probes_than_sockets(lab: Lab) -> None:
    place = lab.pods["a/1"].namespace
    lab.servers.listen(place, "tcp", "10.1.0.1", 80)
    count = max(MOST_AT_ONCE, MOST_CONNECTIONS) + 50
    outcomes = probe_all([Probe(lab.pods["b/2"].namespace, "10.1.0.1", "tcp", 80)] * count, 10)
    assert {outcome.result for outcome in outcomes} == {"answered"}


def test_a_taken_port_is_refused_with_its_place(lab: Lab) -> None:
    place = lab.pods["a/1"].namespace
    lab.servers.listen(place, "tcp", "10.1.0.1", 80)
    with pytest.raises(
        EnvironmentRefused, match=r"a/1 cannot serve tcp port 80 of 10\.1\.0\.1: Address already"
    ):
        lab.servers.listen(place, "tcp", "10.1.0.1", 80)
    with pytest.raises(
        EnvironmentRefused, match=r"a/1 cannot serve udp port 53 of 10\.9\.9\.9: Cannot assign"
    ):
        lab.servers.listen(place, "udp", "10.9.9.9", 53)


def test_pods_come_and_go(lab: Lab) -> None:
    lab.add_pods("n1", pod("c/1", 1, 3))
    with pytest.raises(ValueError, match="one name is given to two: c/1"):
        lab.add_pods("n2", pod("c/1", 2, 9))
    with pytest.raises(ValueError, match=r"one address is given to two: 10\.1\.0\.3"):
        lab.add_pods("n2", PodPlan("c/2", ("10.1.0.3",)))
    sources = [lab.pods[name].namespace for name in ("b/1", "b/2")]
    for place in (*sources, lab.nodes["n1"], lab.outside):
        for address in ("10.1.0.3", "fd00:1::3"):
            assert probe_all([Probe(place, address, "tcp", 9)], 5) == [Outcome("refused")]
    lab.remove_pod("c/1")
    assert "c/1" not in lab.pods
    assert lab.home("10.1.0.3") is lab.outside
    # Another node may have the address now, and everybody finds it there.
    lab.add_pods("n2", PodPlan("c/2", ("10.1.0.3", "fd00:1::3")))
    for place in (*sources, lab.nodes["n1"], lab.outside):
        for address in ("10.1.0.3", "fd00:1::3"):
            assert probe_all([Probe(place, address, "udp", 9)], 5) == [Outcome("refused")]


def test_a_node_gets_another_address_and_loses_it(lab: Lab) -> None:
    place = lab.pods["a/2"].namespace
    for address in ("198.51.100.1", "2001:db8:2::1"):
        lab.add_address("n1", address)
        lab.servers.listen(lab.nodes["n1"], "tcp", address, 80)
        assert probe_all([Probe(place, address, "tcp", 80)], 5)[0].result == "answered"
        lab.remove_address("n1", address)
        assert lab.home(address) is lab.outside


def test_a_shot_arrives_where_its_address_is(lab: Lab) -> None:
    ends = holders(lab)
    with Wire() as wire:
        for place in {*ends.values()} - {*lab.nodes.values()}:
            wire.hear_interfaces(place)
        for place in lab.nodes.values():
            wire.hear_input(place, (253,))
        shots: list[tuple[Namespace, bytes]] = []
        expected: set[Arrival] = set()
        for source, origin in ends.items():
            for destination, place in ends.items():
                if origin is place or (":" in source) != (":" in destination):
                    continue
                for protocol in ("tcp", "udp", "sctp", "icmp", 253):
                    mark = len(shots) + 1
                    shots.append((origin, craft(Shot(source, destination, protocol, mark, 1024 + mark, 80))))
                    expected.add(Arrival(mark, place))
        arrived = wire.exchange(shots, expected, 10)
        assert expected - arrived == set()
        # What is heard elsewhere passed the outside on its way from node to node.
        assert {arrival.place for arrival in arrived - expected} == {lab.outside}


@pytest.mark.parametrize("hook", ["input", "output"])
def test_a_node_hears_only_what_its_hooks_let_pass(lab: Lab, hook: str) -> None:
    inside, outside = lab.nodes["n1"], lab.nodes["n2"]
    sender, receiver = (outside, inside) if hook == "input" else (inside, outside)
    ends = ("192.0.2.2", "192.0.2.1") if hook == "input" else ("192.0.2.1", "192.0.2.2")
    add_rules(inside, hook, "udp dport 1 drop")
    with Wire() as wire:
        wire.hear_input(receiver)
        shots = [(sender, craft(Shot(*ends, "udp", mark, 5000, mark))) for mark in (1, 2)]
        assert wire.exchange(shots, [Arrival(2, receiver)]) == {Arrival(2, receiver)}


def test_a_forged_source_leaves_the_pod(lab: Lab) -> None:
    place = lab.pods["a/1"].namespace
    with Wire() as wire:
        wire.hear_interfaces(lab.outside)
        shots = [(place, craft(Shot("198.51.100.9", "203.0.113.7", "udp", 1)))]
        shots += [(place, craft(Shot("2001:db8:9::9", "2001:db8::7", "udp", 2)))]
        expected = {Arrival(mark, lab.outside) for mark in (1, 2)}
        assert wire.exchange(shots, expected) == expected
