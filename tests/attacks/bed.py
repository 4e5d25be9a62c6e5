"""The bed of the attacks: two nodes, pods with and without policies, and ears at all of their interfaces.

On n1: `a`, whom no policy selects and from whom most attacks come; `f`, a friend whom `v` lets in; `v`,
isolated for ingress; `e`, isolated for egress; `s`, whom no policy selects. On n2: `r`, whom `v` lets in;
`m`, free; `w`, isolated as `v` is. Whatever the kernel itself would stop, it is asked not to.
"""

from __future__ import annotations

import re
import selectors
import socket
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial

from policyd.lab.lab import Lab
from policyd.lab.namespace import Namespace
from policyd.lab.plan import Bridged, NodePlan, PodPlan, Routed
from tests.attacks import frames
from tests.cases.form import egress, ingress, pod, pods
from tests.kernel.ground import forget_connections, nft, services_script
from tests.oracle import Manifest

PODS = {"a": 1, "f": 1, "v": 1, "e": 1, "s": 1, "r": 2, "m": 2, "w": 2}
NUMBERS = {name: number for number, name in enumerate(PODS, start=10)}
OUTSIDE = ("203.0.113.7", "2001:db8::7")
#: Addresses of Services, and whose they are.
SERVICES = {"a": ("10.96.0.10", "fd00:10:96::10"), "s": ("10.96.0.14", "fd00:10:96::14")}
TUNNEL_MACS = {"n1": bytes.fromhex("0242aa000001"), "n2": bytes.fromhex("0242aa000002")}
#: What raw sockets behind a node's hook `input` listen to.
_AT_NODES = {4: (1, 2, 4, 6, 17, 47, 132, 253), 6: (4, 6, 17, 41, 47, 58, 132, 253)}
#: Where the node answers, so that there is a live flow with it.
NODE_SERVICE = 5353
_ETH_P_ALL, _SOL_PACKET, _IGNORE_OUTGOING, _BUFFER_FORCE = 3, 263, 23, 33
_BURST = 32
#: A packet that has not come when so long nothing came was dropped; one that comes later fails the next test.
_QUIET = 0.1
_ANSWER = 0.5

#: The node takes everything that its rules let pass: its own addresses as sources, what is for its loopback,
#: source routes. The pods believe whom they hear.
_TRUSTING = {
    "net.ipv4.conf.all.accept_local": "1",
    "net.ipv4.conf.all.route_localnet": "1",
    "net.ipv4.conf.all.accept_source_route": "1",
    "net.ipv4.conf.default.accept_source_route": "1",
    "net.ipv6.conf.all.accept_source_route": "1",
}
_BELIEVING = {
    "net.ipv4.icmp_echo_ignore_broadcasts": "0",
    "net.ipv4.neigh.eth0.locktime": "0",
    "net.ipv6.conf.eth0.accept_ra": "2",
}


@dataclass(frozen=True, slots=True)
class Shot:
    """One try: what is sent, and the places of which one must not (or must) get its mark."""

    label: str
    mark: int
    ears: tuple[str, ...]
    send: Callable[[], None]


def addresses_of(name: str) -> tuple[str, str]:
    """Addresses of a pod, a node, a node's bridge (`bridge1`) or the outside."""
    if name == "outside":
        return OUTSIDE
    if name in PODS:
        node, number = PODS[name], NUMBERS[name]
        return f"10.244.{node}.{number}", f"fd00:10:244:{node}::{number:x}"
    number = int(name[-1])
    if name.startswith("bridge"):
        return f"10.244.{number}.1", f"fd00:10:244:{number}::1"
    return f"192.0.2.{number}", f"2001:db8:1::{number}"


@contextmanager
def open_bed(wiring: str) -> Iterator[Bed]:
    """Build it without any rule; `wiring` is `routed` or `bridged`."""
    plans = []
    for number in (1, 2):
        kind = Routed() if wiring == "routed" else Bridged(addresses_of(f"bridge{number}"))
        own = tuple(PodPlan(name, addresses_of(name)) for name, node in PODS.items() if node == number)
        plans.append(NodePlan(f"n{number}", addresses_of(f"n{number}"), own, kind))
    with Lab(plans) as lab:
        bed = Bed(wiring, lab)
        try:
            yield bed
        finally:
            bed.close()


class Bed:
    """The lab of these tests; makes packets and says where they arrived."""

    def __init__(self, wiring: str, lab: Lab) -> None:
        self.wiring = wiring
        self.lab = lab
        self._selector = selectors.DefaultSelector()
        self._senders: dict[str, socket.socket] = {}
        self._mark = 0
        self._dropped: set[tuple[int, str]] = set()
        for name, node in lab.nodes.items():
            devices = [found.device for found in lab.pods.values() if found.node == name]
            segments = {f"net.ipv6.conf.{d}.seg6_enabled": "1" for d in ("all", "eth0", *devices)}
            if wiring == "bridged":
                segments["net.ipv6.conf.cni0.seg6_enabled"] = "1"
            node.set_sysctls({**_TRUSTING, **segments})
        for found in lab.pods.values():
            found.namespace.set_sysctls(_BELIEVING)
        _add_tunnels(lab)
        backends = {
            service: addresses_of(name)[i] for name, own in SERVICES.items() for i, service in enumerate(own)
        }
        self.macs = {name: mac_of(self.place(name), "eth0") for name in (*PODS, "n1", "n2")}
        for name, node in lab.nodes.items():
            for address in addresses_of(name):
                lab.servers.listen(node, "udp", address, NODE_SERVICE)
            nft(node, services_script(backends))
            self.macs[f"bridge{name[1]}"] = mac_of(node, "cni0") if wiring == "bridged" else b""
        self.macs["outside"] = mac_of(lab.outside, "node1")
        self._hear()

    def close(self) -> None:
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        for sender in self._senders.values():
            sender.close()
        self._selector.close()

    def place(self, name: str) -> Namespace:
        if name == "outside":
            return self.lab.outside
        name = name.replace("bridge", "n")
        return self.lab.nodes[name] if name in self.lab.nodes else self.lab.pods[name].namespace

    def address(self, name: str, family: int) -> str:
        """Whose address, in a family. What is not a name is an address already."""
        if ":" in name or "." in name:
            return name
        return addresses_of(name)[family == 6]

    def link_local(self, name: str) -> str:
        """The IPv6 address that a pod has by its MAC."""
        mac = self.macs[name]
        host = bytes([mac[0] ^ 2]) + mac[1:3] + b"\xff\xfe" + mac[3:]
        return "fe80::" + ":".join(f"{int.from_bytes(host[i : i + 2], 'big'):x}" for i in range(0, 8, 2))

    def gateway(self, name: str) -> bytes:
        """The MAC to which a pod, or the outside, sends what is not on its link."""
        if name == "outside":
            return self.macs["n1"]
        if name in self.lab.nodes:
            return mac_of(self.lab.outside, f"node{name[1]}")
        found = self.lab.pods[name]
        if self.wiring == "bridged":
            return self.macs[f"bridge{found.node[1]}"]
        return mac_of(self.lab.nodes[found.node], found.device)

    def next_mark(self) -> int:
        self._mark += 1
        return self._mark

    def ports(self, mark: int) -> tuple[int, int]:
        """Ports of a flow that nobody had before; everybody's service is at 53."""
        return 10_000 + mark % 50_000, 53

    def frame(self, origin: str, target: str, packet: bytes) -> bytes:
        """A packet as a pod sends it: to a sibling on its bridge, or else by the gateway."""
        near = target in self.macs and self.wiring == "bridged" and _node_of(target) == _node_of(origin)
        destination = self.macs[target] if near and target not in self.lab.nodes else self.gateway(origin)
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

    def shot(self, label: str, origin: str, mark: int, sent: Iterable[bytes], *ears: str) -> Shot:
        """Frames to send from the interface of a pod, a node or the outside."""
        return Shot(label, mark, ears, partial(self.send, origin, tuple(sent)))

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
        """Forget all that attacks have taught: neighbours, routes, connections, who is behind which port."""
        for name in (*PODS, "n1", "n2"):
            self.place(name).ip(["neigh flush all"])
        for name in PODS:
            # A pod that speaks is found behind its own port again.
            greeting = frames.arp(
                1, (self.macs[name], addresses_of(name)[0]), (bytes(6), addresses_of(name)[0]), b""
            )
            self.send(name, (frames.ether(frames.BROADCAST, self.macs[name], frames.ARP, greeting),))
            self.place(name).run(["ip", "-6", "route", "flush", "proto", "ra"])
        for node in self.lab.nodes.values():
            forget_connections(node)

    def objects(self) -> list[Manifest]:
        """The manifests of all that is here, without policies."""
        nodes = [
            {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": name},
                "status": {"addresses": [{"type": "InternalIP", "address": a} for a in addresses_of(name)]},
            }
            for name in self.lab.nodes
        ]
        space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}}
        here = [pod(f"x/{name}", *addresses_of(name), node=f"n{node}") for name, node in PODS.items()]
        return [space, *nodes, *here]

    def policies(self) -> list[Manifest]:
        """What isolates `v`, `w` and `e`."""
        friends = [pods(pod="f"), pods(pod="r")]
        return [
            ingress("x", "v", {"from": friends}, name="v"),
            ingress("x", "w", {"from": [pods(pod="f")]}, name="w"),
            egress("x", "e", name="e"),
        ]

    def send(self, origin: str, sent: tuple[bytes, ...]) -> None:
        sender = self._senders.get(origin)
        if sender is None:
            bridge = origin.startswith("bridge")
            device = "cni0" if bridge else "node1" if origin == "outside" else "eth0"
            with self.place(origin).entered():
                sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
                sender.bind((device, 0))
            self._senders[origin] = sender
        for frame in sent:
            sender.send(frame)

    def _hear(self) -> None:
        """Listen at every pod, behind the hook input of every node, at its bridge, and outside."""
        for name in (*PODS, "outside"):
            self._add_ear(name, self._capture(self.place(name), ""))
        for name, node in self.lab.nodes.items():
            for version, family in ((4, socket.AF_INET), (6, socket.AF_INET6)):
                for number in _AT_NODES[version]:
                    with node.entered():
                        self._add_ear(name, socket.socket(family, socket.SOCK_RAW, number))
            if self.wiring == "bridged":
                self._add_ear(f"bridge{name[1]}", self._capture(node, "cni0"))

    def _capture(self, place: Namespace, device: str) -> socket.socket:
        with place.entered():
            ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        if device:
            ear.bind((device, _ETH_P_ALL))
        ear.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
        return ear

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


def _node_of(name: str) -> str:
    return str(PODS[name]) if name in PODS else name[-1]


def mac_of(place: Namespace, device: str) -> bytes:
    text = place.run(["ip", "-oneline", "link", "show", "dev", device]).stdout
    match = re.search(r"link/ether ([0-9a-f:]+)", text)
    assert match is not None, text
    return bytes.fromhex(match.group(1).replace(":", ""))


def _add_tunnels(lab: Lab) -> None:
    """Make the ends of tunnels that Flannel makes, in each family; nothing of the lab goes through them."""
    for name, node in lab.nodes.items():
        mac = TUNNEL_MACS[name].hex(":")
        v4, v6 = addresses_of(name)
        node.ip(
            [
                f"link add flannel.1 address {mac} type vxlan id 1 local {v4} dstport 8472 nolearning",
                f"link add flannel-v6.1 address {mac} type vxlan id 1 local {v6} dstport 8472 nolearning",
                "link set flannel.1 up",
                "link set flannel-v6.1 up",
            ]
        )
