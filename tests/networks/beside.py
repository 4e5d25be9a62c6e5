"""Nodes whose stack does not see the packets of their pods: real plugins, a real agent, real packets."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from ipaddress import ip_interface
from typing import Any

from policyd.lab.namespace import Namespace
from policyd.lab.probes import Probe, probe_all
from policyd.lab.servers import Transport
from policyd.netlink.links import read_links
from tests.cni.bed import PORT, Bed
from tests.node.ebpf import attach, load_redirect_peer
from tests.support.waiting import until

#: By name: the uplink's other end, which stands for another node, has these.
OUTSIDE = ("10.244.1.250", "fd00:1::250")
TRANSPORTS: tuple[Transport, ...] = ("tcp", "udp")


def wire(bed: Bed) -> Namespace:
    """Give the node an uplink `up0`, at whose other end is somebody on the same network."""
    outside = bed.namespace("outside")
    bed.node.ip(
        [
            f"link add up0 type veth peer name eth0 netns {outside.path}",
            "link set up0 up",
            "addr add 192.0.2.1/24 dev up0",
            "addr add 2001:db8::1/64 dev up0 nodad",
            "route add default via 192.0.2.254",
            "route add default via 2001:db8::254",
        ]
    )
    outside.ip(
        ["link set eth0 up", f"addr add {OUTSIDE[0]}/24 dev eth0", f"addr add {OUTSIDE[1]}/112 dev eth0"]
    )
    return outside


class Pod:
    """A pod that runs, and serves a port by TCP and UDP in both families."""

    def __init__(self, bed: Bed, name: str, app: str = "") -> None:
        self.sandbox = bed.sandbox(name)
        self.result: dict[str, Any] = {}
        self._bed, self.name = bed, name
        bed.say(name, app=app)

    def start(self) -> Pod:
        """Have its network made, and serve."""
        self.result = self._bed.start(self.sandbox).result()
        for address in self.addresses:
            for transport in TRANSPORTS:
                self._bed.servers.listen(self.namespace, transport, address, PORT)
        return self

    @property
    def namespace(self) -> Namespace:
        return self.sandbox.namespace

    @property
    def addresses(self) -> list[str]:
        return [str(ip_interface(each["address"]).ip) for each in self.result["ips"]]


def answered(source: Namespace, addresses: Sequence[str], seconds: float = 0.9) -> list[bool]:
    """Whether each address answers a namespace: by TCP and by UDP, in both families."""
    probes = [Probe(source, address, transport, PORT) for address in addresses for transport in TRANSPORTS]
    return [outcome.result == "answered" for outcome in probe_all(probes, seconds)]


def settled(bed: Bed) -> None:
    """Wait until nothing is reported that an agent has not come to yet."""
    until(lambda: not bed.conditions() & {"pods-open", "syncing"})


def bypass(bed: Bed, one: Pod, other: Pod) -> None:
    """Carry all that each of two pods on ptp sends into the other, by eBPF, past the node: as Cilium does."""
    ends = {pod.name: _host_end(bed, pod) for pod in (one, other)}
    for pod, peer in ((one, other), (other, one)):
        name, index = ends[pod.name]
        # What is for the gateway must be for the peer as well: Cilium's programs write its address there.
        with peer.namespace.entered():
            mac = mac_of("eth0")
        bed.node.ip([f"link set {name} address {mac}"])
        gateways = [str(ip_interface(ip["gateway"]).ip) for ip in pod.result["ips"]]
        pod.namespace.ip([f"neigh replace {g} lladdr {mac} nud permanent dev eth0" for g in gateways])
        bed.node.run(["tc", "qdisc", "add", "dev", name, "clsact"])
        with bed.node.entered():
            attach(load_redirect_peer(ends[peer.name][1]), index)


def _host_end(bed: Bed, pod: Pod) -> tuple[str, int]:
    """The name and index of the node's link that leads to a pod."""
    with pod.namespace.entered():
        [peer] = [link.peer for link in read_links() if link.name == "eth0"]
    with bed.node.entered():
        [found] = [(link.name, link.index) for link in read_links() if link.index == peer]
    return found


def mac_of(interface: str) -> str:
    """The hardware address of a link of the namespace that the thread is in."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as opened:
        opened.bind((interface, 0))
        return bytes(opened.getsockname()[4]).hex(":")


def connected(pod: Pod, address: str) -> socket.socket:
    """A TCP connection of a pod that a server has greeted."""
    with pod.namespace.entered():
        opened = socket.create_connection((address, PORT), timeout=2.0)
    while not opened.recv(64).endswith(b"\n"):
        pass
    return opened


def asked(opened: socket.socket, seconds: float = 0.6) -> bool:
    """Whether the other end still answers."""
    opened.settimeout(seconds)
    try:
        opened.sendall(b"x")
        return bool(opened.recv(64))
    except OSError:
        return False
