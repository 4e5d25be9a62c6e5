"""Two nodes, four pods, real connections: what a simulator of single packets cannot show.

Pods a, b and c are on node n1, d is on n2, all in namespace x and labelled `pod=<name>`. Everybody serves
TCP 80 and 8080 and UDP 53, the nodes and the outside, too.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

from policyd.lab.lab import Lab
from policyd.lab.namespace import Namespace
from policyd.lab.plan import Bridged, NodePlan, PodPlan, Routed
from policyd.lab.probes import Outcome, Probe, probe_all
from policyd.lab.servers import Transport
from policyd_compiler.nft.printer import print_replace
from policyd_compiler.options import Options
from tests.cases.form import pod
from tests.kernel.ground import forget_connections, nft
from tests.lab.packets import SYN, Shot, craft
from tests.lab.wire import Arrival, Wire
from tests.oracle import Manifest
from tests.routes import DEFAULTS, compile_world
from tests.support.waiting import DEADLINE

PODS = {"a": 1, "b": 1, "c": 1, "d": 2}  # and the node of each
PORTS: tuple[tuple[Transport, int], ...] = (("tcp", 80), ("tcp", 8080), ("udp", 53))

_WATCHES = count(1)


def addresses_of(name: str) -> tuple[str, str]:
    """A pod's addresses, by its letter."""
    number = int(name, 36)
    node = PODS.get(name, 1)
    return f"10.244.{node}.{number}", f"fd00:10:244:{node}::{number:x}"


def gateways(node: int) -> tuple[str, str]:
    """The addresses of a node's bridge, where it has one."""
    return f"10.244.{node}.1", f"fd00:10:244:{node}::1"


def node_addresses(number: int) -> tuple[str, str]:
    """A node's own addresses."""
    return f"192.0.2.{number}", f"2001:db8:1::{number}"


def _node(number: int, wiring: str) -> NodePlan:
    pods = tuple(PodPlan(name, addresses_of(name)) for name, node in PODS.items() if node == number)
    kind = Routed() if wiring == "routed" else Bridged(gateways(number))
    return NodePlan(f"n{number}", node_addresses(number), pods, kind)


@contextmanager
def open_scene(wiring: str) -> Iterator[Scene]:
    """Build the lab of these tests; `wiring` is `routed` or `bridged`."""
    with Lab([_node(1, wiring), _node(2, wiring)]) as lab, Wire() as wire:
        yield Scene(wiring, lab, wire)


class Scene:
    """The lab of these tests, and ways to look at it. Everything is done in both families."""

    def __init__(self, wiring: str, lab: Lab, wire: Wire) -> None:
        self.wiring = wiring
        self.lab = lab
        self.wire = wire
        self.addresses = {name: addresses_of(name) for name in PODS}
        self.addresses |= {f"n{n}": node_addresses(n) for n in (1, 2)}
        self.addresses["outside"] = ("203.0.113.7", "2001:db8::7")
        self.addresses |= {f"bridge{n}": gateways(n) for n in (1, 2)}
        self._heard: set[Namespace] = set()
        self._mark = 0
        for name in (*PODS, "n1", "n2", "outside"):
            self.serve(name)

    def serve(self, name: str) -> None:
        """Start the servers of a pod, a node or the outside."""
        for address in self.addresses[name]:
            for transport, port in PORTS:
                self.lab.servers.listen(self.place(name), transport, address, port)

    def add_pod(self, name: str) -> None:
        """Start one more pod on n1, with its servers."""
        self.addresses[name] = addresses_of(name)
        self.lab.add_pods("n1", PodPlan(name, addresses_of(name)))
        self.serve(name)

    @property
    def pod_interfaces(self) -> tuple[str, ...]:
        """What stands between the node and its pods: with a bridge, routed packets show the bridge."""
        return ("cali*",) if self.wiring == "routed" else ("cni0", "veth*")

    def place(self, name: str) -> Namespace:
        if name == "outside":
            return self.lab.outside
        return self.lab.nodes[name] if name in self.lab.nodes else self.lab.pods[name].namespace

    def enforce(
        self, *policies: Manifest, options: Options = DEFAULTS, without: tuple[str, ...] = ()
    ) -> None:
        """Put these policies in force on both nodes; pods that are named in `without` are not known."""
        objects = [*self.cluster(without), *policies]
        for name, node in self.lab.nodes.items():
            nft(node, print_replace(compile_world(objects, name, options).table))

    def cluster(self, without: tuple[str, ...] = ()) -> list[Manifest]:
        """The Namespace, the Nodes, and the pods."""
        nodes = [
            {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": name},
                "status": {"addresses": [{"type": "InternalIP", "address": a} for a in self.addresses[name]]},
            }
            for name in self.lab.nodes
        ]
        space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}}
        pods = [
            pod(f"x/{name}", *found.plan.addresses, node=found.node)
            for name, found in self.lab.pods.items()
            if name not in without
        ]
        return [space, *nodes, *pods]

    def outcomes(self, *texts: str, seconds: float = 1.2) -> list[Outcome]:
        """Try connections, "a > b tcp/80", all at once, and give what came of them in either family.

        `seen_as` is the name of whoever has the address that the server saw, or of two.
        """
        probes = [self._probe(text, family) for text in texts for family in (0, 1)]
        found = probe_all(probes, seconds)
        return [self._common(text, found[2 * i], found[2 * i + 1]) for i, text in enumerate(texts)]

    def results(self, *texts: str, seconds: float = 1.2) -> list[str]:
        """The same without whom the servers saw."""
        return [outcome.result for outcome in self.outcomes(*texts, seconds=seconds)]

    def _probe(self, text: str, family: int) -> Probe:
        source, _, target, service = text.split()
        transport, _, port = service.partition("/")
        return Probe(self.place(source), self.addresses[target][family], transport, int(port))  # type: ignore[arg-type]

    def _common(self, text: str, v4: Outcome, v6: Outcome) -> Outcome:
        assert v4.result == v6.result, f"{text}: IPv4 {v4}, IPv6 {v6}"
        names = {a: name for name, addresses in self.addresses.items() for a in addresses}
        seen = {names.get(outcome.seen_as, outcome.seen_as) for outcome in (v4, v6)}
        return Outcome(v4.result, " ".join(sorted(seen)))

    def arrives(self, *texts: str, flags: int = SYN) -> list[bool]:
        """Send raw packets, "a as n1 > d udp/53 at b", all at once; whether each arrives, in both families.

        `as` names whose address the packet has as its source, `at` where it arrives if not at its target.
        """
        flights = [(text, *self._flight(text, family, flags)) for text in texts for family in (0, 1)]
        awaited = {arrival for _, _, _, arrival in flights}
        arrived = self.wire.exchange([(place, packet) for _, place, packet, _ in flights], awaited, 1.0)
        found: dict[str, set[bool]] = {}
        for text, _, _, arrival in flights:
            found.setdefault(text, set()).add(arrival in arrived)
        assert all(len(both) == 1 for both in found.values()), f"IPv4 and IPv6 differ: {found}"
        return [found[text] == {True} for text in texts]

    def _flight(self, text: str, family: int, flags: int) -> tuple[Namespace, bytes, Arrival]:
        match = re.fullmatch(r"(\w+)(?: as (\w+))? > (\w+) (\w+)(?:/(\d+))?(?: at (\w+))?", text)
        assert match is not None, text
        source, claim, target, protocol, port, at = match.groups()
        where = self.place(at or target)
        if where not in self._heard:
            self._heard.add(where)
            self.wire.hear_input(where) if where in self.lab.nodes.values() else self.wire.hear_interfaces(
                where
            )
        self._mark += 1
        if protocol == "nd":
            family = 1
        ends = self.addresses[claim or source][family], self.addresses[target][family]
        shot = Shot(*ends, protocol, self._mark, 20_000 + self._mark, int(port or 0), flags)  # type: ignore[arg-type]
        return self.place(source), craft(shot), Arrival(self._mark, where)

    def forget(self) -> None:
        """Delete every entry of connection tracking on the nodes."""
        for node in self.lab.nodes.values():
            forget_connections(node)


def watch(
    place: Namespace, hook: str, match: str, family: str = "inet", priority: int = 300
) -> Callable[[], int]:
    """Count the packets that match at a hook, in a table of its own; gives the way to read the count."""
    name = f"watch-{hook}-{next(_WATCHES)}"
    nft(
        place,
        f"add table {family} {name}\n"
        f"add chain {family} {name} c {{ type filter hook {hook} priority {priority}; }}\n"
        f"add rule {family} {name} c {match} counter\n",
    )

    def read() -> int:
        listing = json.loads(place.run(["nft", "-j", "list", "chain", family, name, "c"]).stdout)
        [rule] = [item["rule"] for item in listing["nftables"] if "rule" in item]
        return sum(part["counter"]["packets"] for part in rule["expr"] if "counter" in part)

    return read


def dial(source: Namespace, address: str, port: int, transport: str = "udp") -> socket.socket:
    """Open a connection from a namespace to one of the servers."""
    kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
    with source.entered():
        client = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    client.settimeout(DEADLINE)
    client.connect((address, port))
    if transport == "tcp":
        client.recv(100)  # the greeting
    return client


def echoes(client: socket.socket, seconds: float = DEADLINE) -> bool:
    """Whether the server at the other end still answers."""
    client.settimeout(seconds)
    try:
        client.send(b"still there?")
        return client.recv(200) != b""
    except (TimeoutError, OSError):
        return False
