"""Traffic that lasts while something is done to policyd: of a friend whom a policy lets in, and of a foe.

Each sends a packet each millisecond to a server, in both families, and holds connections to it that were
opened while they could be.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

from policyd.lab.namespace import Namespace
from policyd.lab.probes import Probe, probe_all
from policyd.lab.servers import Servers
from tests.cluster.cluster import Cluster
from tests.cluster.policyd.pods import Place, Pod, Pods, policy
from tests.cluster.policyd.stream import Stream

SERVER, ALLOWED, DENIED = "server", "allowed", "denied"
#: The foe shares its node with the server, so both ways are tried: over the network, and over the bridge.
PLACES = {SERVER: Place("n1", {"kind": SERVER}), ALLOWED: Place("n2", {"kind": ALLOWED}), DENIED: Place("n1")}
PORT = 8080
#: With the family added: a port of its own for each stream.
STREAM_PORTS = {ALLOWED: 9010, DENIED: 9020}
POLICY = "friends"
ANSWER_SECONDS = 5.0
#: A policy is in force within a second; the rest is for a machine with other work.
SETTLE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Traffic:
    """The streams and connections by `friend 4`, `foe 6` and so on: who sends, in which family."""

    pods: dict[str, Pod]
    streams: Mapping[str, Stream]
    connections: Mapping[str, socket.socket]

    def now(self) -> dict[str, int]:
        """Give the number of the packet that each stream sends next."""
        return {name: stream.now() for name, stream in self.streams.items()}

    def lost(self, since: Mapping[str, int]) -> dict[str, list[int]]:
        """Give the friend's packets that were lost, by stream; those that lost none are not in it."""
        found = {name: self.streams[name].lost(first) for name, first in since.items() if is_friend(name)}
        return {name: numbers for name, numbers in found.items() if numbers}

    def leaked(self, since: Mapping[str, int]) -> dict[str, list[int]]:
        """Give the foe's packets that arrived, by stream; those that were all denied are not in it."""
        found = {name: self.streams[name].arrived(n) for name, n in since.items() if not is_friend(name)}
        return {name: numbers for name, numbers in found.items() if numbers}

    def denied(self, since: Mapping[str, int]) -> dict[str, int]:
        """Wait until none of the foe's packets arrives any more; give the first that did not, by stream."""
        found = {}
        for name, first in since.items():
            if not is_friend(name):
                number = self.streams[name].wait_for_loss(first, SETTLE_SECONDS)
                assert number is not None, f"{name} is not denied"
                found[name] = number
        return found

    def allowed(self, since: Mapping[str, int]) -> None:
        """Wait until packets of everybody arrive."""
        for name, first in since.items():
            assert self.streams[name].wait_for_arrival(first, SETTLE_SECONDS) is not None, f"{name} is denied"

    def alive(self) -> set[str]:
        """Give the connections that still carry something to the server and back."""
        for connection in self.connections.values():
            with suppress(OSError):
                connection.send(b"x")
        return {name for name, connection in self.connections.items() if answers(connection)}

    def connects(self) -> set[str]:
        """Give who can open a new connection."""
        wanted = {
            f"{who} {family(address)}": Probe(self.pods[who].network, address, "tcp", PORT)
            for who in (ALLOWED, DENIED)
            for address in self.pods[SERVER].addresses
        }
        outcomes = probe_all(list(wanted.values()))
        return {name for name, outcome in zip(wanted, outcomes, strict=True) if outcome.reached}


EVERYBODY = {f"{who} {number}" for who in (ALLOWED, DENIED) for number in (4, 6)}
FRIENDS = {name for name in EVERYBODY if name.startswith(ALLOWED)}


@contextmanager
def opened_traffic(cluster: Cluster) -> Iterator[Traffic]:
    """Start the pods and let them speak; then write the policy, and give them once connections are there.

    Where policyd is at work already, the policy is in force soon; the foe's connections were opened before.
    """
    with Pods(cluster) as pods, Servers() as servers, ExitStack() as stack:
        namespace = pods.namespace("traffic")
        found = pods.start(namespace, PLACES)
        server = found[SERVER]
        streams, connections = {}, {}
        for address in server.addresses:
            servers.listen(server.network, "tcp", address, PORT)
            for who, port in STREAM_PORTS.items():
                name = f"{who} {family(address)}"
                connections[name] = stack.enter_context(connected(found[who].network, address))
                stream = Stream(found[who].network, server.network, address, port + family(address))
                streams[name] = stack.enter_context(stream)
        traffic = Traffic(found, streams, connections)
        traffic.allowed(dict.fromkeys(streams, 0))
        assert traffic.alive() == EVERYBODY
        friends = {"podSelector": {"matchLabels": {"kind": ALLOWED}}}
        subject = {"matchLabels": {"kind": SERVER}}
        cluster.apply(
            policy(
                POLICY,
                namespace,
                podSelector=subject,
                policyTypes=["Ingress"],
                ingress=[{"from": [friends]}],
            )
        )
        yield traffic


def is_friend(name: str) -> bool:
    """Tell whose stream it is."""
    return name.startswith(ALLOWED)


def family(address: str) -> int:
    """Give the family of an address."""
    return 6 if ":" in address else 4


def connected(source: Namespace, address: str) -> socket.socket:
    """Open a connection that is answered within a second or not at all, and read the greeting."""
    with source.entered():
        connection = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    connection.settimeout(ANSWER_SECONDS)
    try:
        connection.connect((address, PORT))
        connection.recv(256)
    except BaseException:
        connection.close()
        raise
    return connection


def answers(connection: socket.socket) -> bool:
    """Tell whether an echo comes back."""
    try:
        return connection.recv(256) != b""
    except OSError:
        return False
