"""Two namespaces with four pods on both nodes, each a server and a client: who reaches whom."""

from __future__ import annotations

import time
from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from policyd.lab.probes import Probe, probe_all
from policyd.lab.servers import Servers, Transport
from tests.cluster.client import Manifest
from tests.cluster.cluster import Cluster
from tests.cluster.policyd.pods import Place, Pod, Pods

#: What every pod serves. The first is also its named port.
PORTS: tuple[tuple[Transport, int], ...] = (("tcp", 8080), ("tcp", 8081), ("udp", 8080))
NAMED = "http"
SETTLE_SECONDS = 60.0
PROBE_SECONDS = 1.2  # longer than the kernel waits before it sends a SYN again

SHOP = {
    "web": Place("n1", {"app": "web"}, {NAMED: 8080}),
    "client": Place("n2", {"role": "client"}, {NAMED: 8080}),
    "stranger": Place("n1", {"role": "stranger"}, {NAMED: 8080}),
}
OTHER = {"visitor": Place("n2", {"role": "client"}, {NAMED: 8080})}
TEAM = {"team": "friends"}

#: source, target, family, and the port as in `tcp/8080`
Connection: TypeAlias = tuple[str, str, int, str]


@dataclass(frozen=True, slots=True)
class Scene:
    """The pods by name; `shop` and `other` are their namespaces."""

    cluster: Cluster
    shop: str
    other: str
    pods: dict[str, Pod]

    def replace_policies(self, *policies: Manifest) -> None:
        """Let these, and no others, be the policies of `shop`."""
        self.cluster.kubectl("delete", "networkpolicies", "--all", "--namespace", self.shop)
        if policies:
            self.cluster.apply(*policies)

    def connections(self) -> frozenset[Connection]:
        """Every connection that there could be between two pods."""
        return frozenset(
            (source, target, 6 if ":" in address else 4, f"{transport}/{port}")
            for source in self.pods
            for target in self.pods
            if source != target
            for address in self.pods[target].addresses
            for transport, port in PORTS
        )

    def reached(self) -> frozenset[Connection]:
        """Try them all at once, and give those that came about."""
        wanted = sorted(self.connections())
        outcomes = probe_all([self._probe(connection) for connection in wanted], PROBE_SECONDS)
        return frozenset(c for c, outcome in zip(wanted, outcomes, strict=True) if outcome.reached)

    def settles(self, expected: Set[Connection]) -> frozenset[Connection]:
        """Try until exactly the expected connections come about, or time is up; give those that did last."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while (found := self.reached()) != expected and time.monotonic() < deadline:
            pass  # each try takes a second itself
        return found

    def _probe(self, connection: Connection) -> Probe:
        source, target, family, port = connection
        (address,) = (a for a in self.pods[target].addresses if (":" in a) == (family == 6))
        transport, _, number = port.partition("/")
        kind: Transport = "udp" if transport == "udp" else "tcp"
        return Probe(self.pods[source].network, address, kind, int(number))


@contextmanager
def opened_scene(cluster: Cluster) -> Iterator[Scene]:
    """Start the pods and their servers."""
    with Pods(cluster) as pods, Servers() as servers:
        shop, other = pods.namespace("shop"), pods.namespace("other", TEAM)
        found = {**pods.start(shop, SHOP), **pods.start(other, OTHER)}
        for pod in found.values():
            for address in pod.addresses:
                for transport, port in PORTS:
                    servers.listen(pod.network, transport, address, port)
        yield Scene(cluster, shop, other, found)
