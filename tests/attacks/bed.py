"""What attacks are tried on: places with interfaces, who sends there, and ears at all of them.

On n1: `a`, whom no policy selects and from whom most attacks come; `f`, a friend whom `v` lets in; `v`,
isolated for ingress; `e`, isolated for egress; `s`, whom no policy selects. On n2: `r`, whom `v` lets in;
`m`, free; `w`, isolated as `v` is. Next to them the nodes, their bridges and the outside.
"""

from __future__ import annotations

import re
import selectors
import socket
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias

from policyd.lab.namespace import Namespace
from tests.attacks import frames
from tests.kernel.ground import forget_connections

Wiring: TypeAlias = Literal["routed", "bridged"]

#: The pods, and the number of their node.
PODS = {"a": 1, "f": 1, "v": 1, "e": 1, "s": 1, "r": 2, "m": 2, "w": 2}
NODES = ("n1", "n2")
BRIDGES = {"bridge1": "n1", "bridge2": "n2"}
#: The end of a tunnel of VXLAN, by its node and the family that carries it.
TUNNELS = {4: "flannel.1", 6: "flannel-v6.1"}
#: Where those who answer do, so that there is a live flow with them: the nodes, `v` and the outside.
ANSWERING, LIVE_PORT = ("n1", "n2", "v", "outside"), 5353
#: What raw sockets behind a node's hook `input` listen to.
_AT_NODES = {4: (1, 2, 4, 6, 17, 47, 132, 253), 6: (4, 6, 17, 41, 47, 58, 132, 253)}
_ETH_P_ALL, _SOL_PACKET, _IGNORE_OUTGOING, _BUFFER_FORCE = 3, 263, 23, 33
_HEADER_INCLUDED = 36
_BURST = 32
#: A packet that has not come when so long nothing came was dropped; one that comes later fails the next test.
_QUIET = 0.1
_ANSWER = 0.5


@dataclass(frozen=True, slots=True)
class Shot:
    """One try: what is sent, and the places of which one must not (or must) get its mark."""

    label: str
    mark: int
    ears: tuple[str, ...]
    send: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Spot:
    """Where one is: the namespace, the interface there, and the addresses of both families.

    `gateway` is the MAC to which is sent what is for nobody on the link.
    """

    place: Namespace
    device: str
    addresses: tuple[str, str]
    gateway: bytes


class Bed:
    """Places, and packets between them. Close it, and what it stands on afterwards.

    `spots` are the pods, the nodes, the outside and, where the network has them, the bridges. `others` are
    addresses of nobody there, by name: `unknown` of no pod though of this node's range, `mapped` an IPv4
    address of `f` in IPv6, `subnet` the broadcast address of n1's range, and `service a` and so on.
    """

    def __init__(
        self, wiring: Wiring, spots: Mapping[str, Spot], others: Mapping[str, tuple[str, str]]
    ) -> None:
        self.wiring = wiring
        self.spots = dict(spots)
        self._addresses = {name: spot.addresses for name, spot in spots.items()} | dict(others)
        self._selector = selectors.DefaultSelector()
        self._senders: dict[str, socket.socket] = {}
        self._mark = 0
        self._dropped: set[tuple[int, str]] = set()
        self.macs = {name: mac_of(spot.place, spot.device) for name, spot in spots.items()}
        self.tunnels = {
            (node, family): mac_of(self.place(node), device)
            for node in NODES
            for family, device in TUNNELS.items()
            if node in spots
        }
        try:
            self._hear()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        for sender in self._senders.values():
            sender.close()
        self._selector.close()

    def place(self, name: str) -> Namespace:
        return self.spots[name].place

    def address(self, name: str, family: int) -> str:
        """Whose address, in a family. What is not a name is an address already."""
        return self._addresses[name][family == 6] if name in self._addresses else name

    def link_local(self, name: str) -> str:
        """The IPv6 address that one has by one's MAC."""
        mac = self.macs[name]
        host = bytes([mac[0] ^ 2]) + mac[1:3] + b"\xff\xfe" + mac[3:]
        return "fe80::" + ":".join(f"{int.from_bytes(host[i : i + 2], 'big'):x}" for i in range(0, 8, 2))

    def next_mark(self) -> int:
        self._mark += 1
        return self._mark

    def ports(self, mark: int) -> tuple[int, int]:
        """Ports of a flow that nobody had before; everybody's service is at 53."""
        return 10_000 + mark % 50_000, 53

    def frame(self, origin: str, target: str, packet: bytes) -> bytes:
        """A packet as one sends it: to a neighbour on the same bridge, or else by the gateway."""
        near = self.wiring == "bridged" and target not in NODES and _link_of(target) == _link_of(origin)
        destination = self.macs[target] if near else self.spots[origin].gateway
        return frames.ether(destination, self.macs[origin], frames.kind_of(packet), packet)

    def talk(
        self, origin: str, target: str, family: int, ports: tuple[int, int], body: bytes = b"hello"
    ) -> None:
        """Send a datagram by an ordinary socket, and wait a moment for an answer."""
        kind = socket.AF_INET6 if family == 6 else socket.AF_INET
        with self.place(origin).entered():
            speaker = socket.socket(kind, socket.SOCK_DGRAM)
        with speaker:
            speaker.settimeout(_ANSWER)
            speaker.bind((self.address(origin, family), ports[0]))
            with suppress(OSError):
                speaker.connect((self.address(target, family), ports[1]))
                speaker.send(body)
                speaker.recv(100)

    def emit(self, origin: str, packet: bytes) -> None:
        """Send an IP packet as a process does, through the rules for what a node itself sends."""
        version6 = packet[0] >> 4 == 6
        target = socket.inet_ntop(
            *((socket.AF_INET6, packet[24:40]) if version6 else (socket.AF_INET, packet[16:20]))
        )
        with self.place(origin).entered():
            kind = socket.AF_INET6 if version6 else socket.AF_INET
            speaker = socket.socket(kind, socket.SOCK_RAW, socket.IPPROTO_RAW)
        with speaker:
            if version6:
                speaker.setsockopt(socket.IPPROTO_IPV6, _HEADER_INCLUDED, 1)
            speaker.sendto(packet, (target, 0))

    def shot(self, label: str, origin: str, mark: int, sent: Iterable[bytes], *ears: str) -> Shot:
        """Frames to send from the interface of somebody."""
        return Shot(label, mark, ears, partial(self.send, origin, tuple(sent)))

    def send(self, origin: str, sent: tuple[bytes, ...]) -> None:
        sender = self._senders.get(origin)
        if sender is None:
            with self.place(origin).entered():
                sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
                sender.bind((self.spots[origin].device, 0))
            self._senders[origin] = sender
        for frame in sent:
            sender.send(frame)

    def volley(self, shots: Iterable[Shot], awaited: Collection[int] = (), seconds: float = 5.0) -> set[int]:
        """Send all of it and give the marks that arrived; those that are `awaited` have so many seconds."""
        fired = list(shots)
        heard: set[tuple[int, str]] = set()
        for number, shot in enumerate(fired, start=1):
            with suppress(OSError):  # refused on the spot
                shot.send()
            if number % _BURST == 0:
                self._listen(heard, 0)
        missing = [shot for shot in fired if shot.mark in awaited]
        deadline = time.monotonic() + seconds
        while (missing := [s for s in missing if not _came(s, heard)]) and time.monotonic() < deadline:
            self._listen(heard, deadline - time.monotonic())
        count = -1
        while len(heard) > count:
            count = len(heard)
            self._listen(heard, _QUIET)
        late = heard & self._dropped
        assert not late, f"packets that were taken for dropped arrive now: {sorted(late)}"
        through = {shot.mark for shot in fired if _came(shot, heard)}
        self._dropped |= {(s.mark, ear) for s in fired if s.mark not in through for ear in s.ears}
        return through

    def heal(self) -> None:
        """Forget all that attacks have taught: neighbours, routes, who is behind which port, connections.

        An echo reply to a pod that has asked for one is an answer, whoever of two tries it belongs to.
        """
        for name in (*PODS, *NODES):
            self.place(name).ip(["neigh flush all"])
        for name in PODS:
            # A pod that speaks is found behind its own port again.
            own = self.macs[name], self.address(name, 4)
            greeting = frames.arp(1, own, (bytes(6), own[1]), b"")
            self.send(name, (frames.ether(frames.BROADCAST, own[0], frames.ARP, greeting),))
            self.place(name).run(["ip", "-6", "route", "flush", "proto", "ra"])
        self.forget()

    def forget(self) -> None:
        """Delete every entry of connection tracking on the nodes."""
        for name in NODES:
            forget_connections(self.place(name))

    def _hear(self) -> None:
        """Listen at every pod, behind the hook input of every node, at its bridge, and outside."""
        for name, spot in self.spots.items():
            if name in NODES:
                for version, family in ((4, socket.AF_INET), (6, socket.AF_INET6)):
                    for number in _AT_NODES[version]:
                        with spot.place.entered():
                            self._add_ear(name, socket.socket(family, socket.SOCK_RAW, number))
                continue
            with spot.place.entered():
                # The outside has an interface for each node, all others have one that counts.
                every = socket.htons(_ETH_P_ALL) if name == "outside" else 0
                ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, every)
                self._add_ear(name, ear)
                ear.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
                if not every:
                    ear.bind((spot.device, _ETH_P_ALL))

    def _add_ear(self, name: str, ear: socket.socket) -> None:
        ear.settimeout(0)
        with suppress(PermissionError):
            ear.setsockopt(socket.SOL_SOCKET, _BUFFER_FORCE, 8 << 20)
        self._selector.register(ear, selectors.EVENT_READ, name)

    def _listen(self, heard: set[tuple[int, str]], seconds: float) -> None:
        for key, _ in self._selector.select(seconds):
            assert isinstance(key.fileobj, socket.socket)
            with suppress(BlockingIOError):
                while True:
                    if (mark := frames.read_payload(key.fileobj.recv(4096))) is not None:
                        heard.add((mark, key.data))


def _came(shot: Shot, heard: set[tuple[int, str]]) -> bool:
    return any((shot.mark, ear) in heard for ear in shot.ears)


def _link_of(name: str) -> str:
    """Whose link one is on: that of a node's bridge, or one's own."""
    return f"bridge{PODS[name]}" if name in PODS else name


def mac_of(place: Namespace, device: str) -> bytes:
    text = place.run(["ip", "-oneline", "link", "show", "dev", device]).stdout
    match = re.search(r"link/ether ([0-9a-f:]+)", text)
    assert match is not None, f"{place.label}, {device}: {text}"
    return bytes.fromhex(match.group(1).replace(":", ""))
