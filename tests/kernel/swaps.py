"""A node whose rulesets are swapped while a stream runs through it, and the meters of the stream."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from policyd.lab.namespace import Namespace
from tests.kernel.ground import nft
from tests.kernel.scene import watch
from tests.lab.packets import UDP, ip_packet, udp_datagram
from tests.setting import chosen_number

#: How long rulesets are swapped; a minute is some thousand swaps and millions of packets.
SECONDS = chosen_number("POLICYD_SWAP_SECONDS", 12.0)
A, B = ("10.244.1.10", "fd00:10:244:1::a"), ("10.244.1.11", "fd00:10:244:1::b")
NODE = ("192.0.2.1", "2001:db8:1::1")
DENIED, ALLOWED, ESTABLISHED = 1001, 2002, 3003
GROUPS, GROUP_DENIED, GROUP_ALLOWED = ("239.1.2.3", "ff15::7"), 1101, 2102
SOURCE_PORT = 40_000


@dataclass(frozen=True, slots=True)
class Road:
    """A node with a sender and a receiver, and the node's ends of their links."""

    node: Namespace
    sender: Namespace
    receiver: Namespace
    wiring: str
    devices: tuple[str, str]

    @property
    def bridge(self) -> str:
        return "cni0" if self.wiring == "bridged" else ""


def packets(*, groups: bool = False) -> dict[str, list[bytes]]:
    """Choose what is sent: half of it denied, in both families; with `groups` as much to groups."""
    ports = [DENIED, ALLOWED] * 28 + [DENIED, ESTABLISHED] * 4
    found = {
        destination: [datagram(source, destination, SOURCE_PORT + port, port) for port in ports]
        for source, destination in zip(A, B, strict=True)
    }
    if groups:
        ports = [GROUP_DENIED, GROUP_ALLOWED] * 32
        found |= {
            group: [datagram(source, group, SOURCE_PORT + port, port) for port in ports]
            for source, group in zip(A, GROUPS, strict=True)
        }
    return found


def datagram(source: str, destination: str, sport: int, dport: int) -> bytes:
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    ends = socket.inet_pton(family, source), socket.inet_pton(family, destination)
    return ip_packet(*ends, UDP, udp_datagram(b"".join(ends), (sport, dport), b"a stream"))


def establish(road: Road) -> None:
    """Let one packet go each way, so that the flow is established to the node's connection tracking."""
    for source, destination in zip(A, B, strict=True):
        family = socket.AF_INET6 if ":" in source else socket.AF_INET
        with road.sender.entered():
            client = socket.socket(family, socket.SOCK_DGRAM)
        with road.receiver.entered():
            server = socket.socket(family, socket.SOCK_DGRAM)
        with client, server:
            server.settimeout(10)
            client.settimeout(10)
            server.bind((destination, ESTABLISHED))
            client.bind((source, SOURCE_PORT + ESTABLISHED))
            client.sendto(b"hello", (destination, ESTABLISHED))
            _, peer = server.recvfrom(100)
            server.sendto(b"hello", peer)
            client.recv(100)


class Meters:
    """Counters of the stream, by port."""

    def __init__(self, road: Road) -> None:
        ports = (DENIED, ALLOWED, ESTABLISHED, GROUP_DENIED, GROUP_ALLOWED)
        self._came = {port: watch(road.node, "prerouting", f"udp dport {port}") for port in ports}
        self._left = {port: watch(road.node, "postrouting", f"udp dport {port}") for port in ports}
        self._delivered = {port: watch(road.receiver, "prerouting", f"udp dport {port}") for port in ports}
        # A bridge sends groups to all its ports, and to the sender itself.
        port = f"oifname {road.devices[1]} udp dport"
        self._left |= {
            group: watch(road.node, "postrouting", f"{port} {group}", "bridge")
            for group in (GROUP_DENIED, GROUP_ALLOWED)
        }
        # Without an answer every packet is the first of its flow again, and is judged.
        nft(
            road.receiver,
            "add table inet deaf\n"
            "add chain inet deaf c { type filter hook prerouting priority 301; }\n"
            f"add rule inet deaf c udp dport {{ {', '.join(map(str, ports))} }} drop\n",
        )

    def read(self) -> dict[str, int]:
        """Read all of them; the stream must have ended."""
        return {
            "groups denied": self._came[GROUP_DENIED](),
            "groups leaked": self._left[GROUP_DENIED]() + self._delivered[GROUP_DENIED](),
            "groups allowed": self._left[GROUP_ALLOWED](),
            "groups lost": self._came[GROUP_ALLOWED]() - self._left[GROUP_ALLOWED](),
            "denied": self._came[DENIED](),
            "leaked": self._left[DENIED]() + self._delivered[DENIED](),
            "allowed": self._came[ALLOWED](),
            "lost": self._came[ALLOWED]() - self._left[ALLOWED](),
            "established": self._came[ESTABLISHED](),
            "cut": self._came[ESTABLISHED]() - self._left[ESTABLISHED](),
        }
