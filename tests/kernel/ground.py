"""Where rulesets prove themselves: worlds of manifests built from namespaces, and packets put through them.

A `Ground` is one lab for many worlds. From one world to the next a few pods move, and the rulesets change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address

from policyd.lab.lab import Lab
from policyd.lab.namespace import Namespace
from policyd.lab.plan import Bridged, NodePlan, PodPlan, Routed
from policyd_compiler.nft.ast import Table
from policyd_compiler.nft.printer import print_replace
from tests.lab.packets import Protocol, Shot, craft
from tests.lab.wire import Arrival, Wire
from tests.oracle import Connection, Manifest
from tests.oracle.addresses import parse_address
from tests.oracle.manifests import read_world
from tests.routes import node_addresses

NUMBERS = (1, 2, 3)
NODES = ("n1", "n2", "n3")
PROTOCOLS: dict[str, Protocol] = {"TCP": "tcp", "UDP": "udp", "SCTP": "sctp", "ICMP": "icmp", "ND": "nd"}
#: Protocols that have no ports and are named in no rule. Connection tracking knows such a flow by its two
#: addresses and this number alone, so two addresses use a number once before connections are forgotten.
OTHERS: tuple[int, ...] = (253, 46, 103, 112, *range(143, 159))
NO_RULES = "add table inet policyd\ndelete table inet policyd\n"


@dataclass(frozen=True, slots=True)
class Flight:
    """A connection's first packet: from where, itself, and the places of which one must get it."""

    origin: Namespace
    packet: bytes
    arrivals: tuple[Arrival, ...]


@contextmanager
def open_ground(wiring: str) -> Iterator[Ground]:
    """Build a lab of three nodes without pods; `wiring` is `routed` or `bridged`."""
    plans = [_node(number, wiring) for number in NUMBERS]
    with Lab(plans) as lab, Wire() as wire, ThreadPoolExecutor(len(NODES)) as pool:
        yield Ground(wiring, lab, wire, pool)


class Ground:
    """A lab of three nodes and, for each address of a pod, a namespace."""

    def __init__(self, wiring: str, lab: Lab, wire: Wire, pool: ThreadPoolExecutor) -> None:
        self.wiring = wiring
        self.judged = 0
        self.lab = lab
        self._built = {(f"n{n}", address) for n in NUMBERS for address in _node(n, wiring).addresses}
        self._wire = wire
        self._pool = pool
        self._wire.hear_interfaces(self.lab.outside)
        for node in self.lab.nodes.values():
            self._wire.hear_input(node, OTHERS)
        self._marks = 0
        self._others: Counter[frozenset[str]] = Counter()
        self._added: set[tuple[str, str]] = set()
        self._ways: set[tuple[object, ...]] = set()
        self._services: dict[str, str] = {}  # pod -> the address of its own Service

    def arrange(self, objects: list[Manifest]) -> None:
        """Put addresses where a world has them. Those of earlier worlds may stay: they are nobody's now."""
        wanted = {(name, a) for name, own in node_addresses(objects).items() for a in own}
        for name, address in self._added - wanted:
            self.lab.remove_address(name, address)
        for name, address in wanted - self._built - self._added:
            self.lab.add_address(name, address)
        if self._added != wanted - self._built:
            self._ways.clear()
        self._added = wanted - self._built
        self.place_pods(places(objects))

    def place_pods(self, addresses: Mapping[str, str]) -> None:
        """Put each address on its node, in a namespace of its own."""
        for node in NODES:
            here = [address for address, place in addresses.items() if place == node]
            for address in here:
                if (pod := self.lab.pods.get(address)) is not None and pod.node != node:
                    self._wire.forget(pod.namespace)
                    self.lab.remove_pod(address)
                    self._ways.clear()
            new = [address for address in here if address not in self.lab.pods]
            if new:
                self._ways.clear()
            self.lab.add_pods(node, *(PodPlan(address, (address,)) for address in new))
            for address in new:
                self._wire.hear_interfaces(self.lab.pods[address].namespace)

    def load(self, tables: Mapping[str, Table]) -> None:
        """Give these nodes their rulesets and the others none, and forget all connections."""
        # At once, because each waits for the kernel.
        list(self._pool.map(lambda name: self._load_node(name, tables.get(name)), NODES))
        self._others.clear()

    def _load_node(self, name: str, table: Table | None) -> None:
        node = self.lab.nodes[name]
        nft(node, NO_RULES if table is None else print_replace(table))
        forget_connections(node)

    def check_ways(self, connections: Iterable[Connection]) -> None:
        """See to it that each of these packets would arrive if there were no rules."""
        unknown = [c for c in connections if way(c) not in self._ways]
        if not unknown:
            return
        self.load({})
        for _ in range(3):  # so many packets may wait for a neighbour's address that some are dropped
            arrived = self._fly(unknown, [True] * len(unknown))
            self._ways.update(way(c) for c, came in zip(unknown, arrived, strict=True) if came)
            unknown = [c for c in unknown if way(c) not in self._ways]
            if not unknown:
                return
        raise AssertionError(f"without rules these do not arrive: {', '.join(map(str, unknown))}")

    def fly(self, connections: list[Connection], expected: list[bool]) -> list[bool]:
        """Send each connection's first packet, and say whether it arrived; what is expected is waited for."""
        self.judged += len(connections)
        return self._fly(connections, expected)

    def _fly(self, connections: list[Connection], expected: list[bool]) -> list[bool]:
        self._serve({c.dst for c in connections if c.left_pod})
        earlier = self._marks
        flights = [self._flight(connection) for connection in connections]
        awaited = [f.arrivals[0] for f, meant in zip(flights, expected, strict=True) if meant]
        arrived = self._wire.exchange([(f.origin, f.packet) for f in flights], awaited)
        late = [arrival for arrival in arrived if arrival.mark <= earlier]
        assert late == [], "packets that were taken for dropped arrive now"
        return [any(arrival in arrived for arrival in flight.arrivals) for flight in flights]

    def _flight(self, connection: Connection) -> Flight:
        self._marks += 1
        origin = self.lab.home(connection.src)
        if connection.local_node is not None:
            origin = self.lab.nodes[connection.local_node]
        destination = self._services[connection.dst] if connection.left_pod else connection.dst
        shot = Shot(
            connection.src,
            destination,
            self._protocol(connection),
            self._marks,
            1024 + self._marks % 60_000,
            connection.dport or 0,
        )
        arrivals = tuple(Arrival(self._marks, place) for place in self._destinations(connection))
        return Flight(origin, craft(shot), arrivals)

    def _serve(self, pods: set[str]) -> None:
        """Give each of these pods a Service with itself as the only backend."""
        if new := pods - self._services.keys():
            for pod in sorted(new):
                first = "10.96.0.1" if ip_address(pod).version == 4 else "fd00:10:96::1"
                self._services[pod] = str(ip_address(first) + len(self._services))
            script = services_script({service: pod for pod, service in self._services.items()})
            for node in self.lab.nodes.values():
                nft(node, script)

    def _protocol(self, connection: Connection) -> Protocol:
        if connection.proto != "OTHER":
            return PROTOCOLS[connection.proto]
        pair = frozenset((connection.src, connection.dst))
        self._others[pair] += 1
        return OTHERS[self._others[pair] - 1]

    def _destinations(self, connection: Connection) -> list[Namespace]:
        address = ip_address(connection.dst)
        if address.is_multicast or connection.dst == "255.255.255.255":
            sender = self.lab.pods[connection.src]
            return [p.namespace for p in self.lab.pods.values() if p.node == sender.node and p is not sender]
        return [self.lab.home(connection.dst)]


def places(objects: list[Manifest]) -> dict[str, str]:
    """Each pod's address and the node where it is: its owner's, or without one, that of a pod that had it."""
    world = read_world(objects)
    found: dict[str, str] = {}
    for pod in objects:
        if pod["kind"] != "Pod" or pod["spec"].get("hostNetwork"):
            continue
        status = pod.get("status") or {}
        for text in [entry["ip"] for entry in status.get("podIPs") or []] or [status.get("podIP")]:
            if text and (address := parse_address(text)):
                nodes = [holder.node for holder in world.claimants(address) if holder.node]
                found[str(ip_address(text))] = nodes[0] if nodes else pod["spec"]["nodeName"]
    return found


def way(connection: Connection) -> tuple[object, ...]:
    """What decides how a connection's packet travels."""
    return connection.src, connection.dst, connection.proto, connection.local_node, connection.left_pod


def _node(number: int, wiring: str) -> NodePlan:
    addresses = (f"192.0.2.{number}", f"2001:db8:1::{number}")
    gateways = (f"100.64.{number}.1", f"fd00:100:64:{number}::1")
    return NodePlan(f"n{number}", addresses, (), Routed() if wiring == "routed" else Bridged(gateways))


def nft(place: Namespace, script: str) -> None:
    """Run an nft script in a namespace; it must be taken."""
    result = place.run(["nft", "-f", "-"], script)
    assert result.returncode == 0, f"{place.label}: {result.stderr}"


def forget_connections(place: Namespace) -> None:
    result = place.run(["conntrack", "-F"])
    assert result.returncode == 0, f"{place.label}: {result.stderr}"


def services_script(backends: Mapping[str, str]) -> str:
    """Services as kube-proxy makes them: an address of a Service, rewritten to its one backend."""
    lines = ["add table inet services", "delete table inet services", "table inet services {"]
    for family, kind in ((4, "ipv4_addr"), (6, "ipv6_addr")):
        elements = [f"{a} : {b}" for a, b in backends.items() if ip_address(a).version == family]
        inside = f"elements = {{ {', '.join(elements)} }};" if elements else ""
        lines.append(f"map backends{family} {{ type {kind} : {kind}; {inside} }}")
    lines += [
        "chain prerouting { type nat hook prerouting priority -100;",
        "dnat ip to ip daddr map @backends4",
        "dnat ip6 to ip6 daddr map @backends6",
        "}",
        "}",
    ]
    return "\n".join(lines) + "\n"
