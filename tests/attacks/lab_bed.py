"""The bed of two nodes in the lab. Whatever the kernel itself would stop, it is asked not to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from policyd.lab.lab import Lab
from policyd.lab.plan import Bridged, NodePlan, PodPlan, Routed
from policyd.lab.wiring import cluster_route
from tests.attacks.bed import ANSWERING, BRIDGES, LIVE_PORT, NODES, PODS, TUNNELS, Bed, Spot, Wiring, mac_of
from tests.cases.form import egress, ingress, pod, pods
from tests.kernel.ground import nft, services_script
from tests.oracle import Manifest

OUTSIDE = ("203.0.113.7", "2001:db8::7")
NUMBERS = {name: number for number, name in enumerate(PODS, start=10)}
#: Whose Services there are, and their addresses.
SERVICES = {"a": ("10.96.0.10", "fd00:10:96::10"), "s": ("10.96.0.14", "fd00:10:96::14")}
OTHERS = {
    "unknown": ("10.244.1.99", "fd00:10:244:1::99"),
    "mapped": ("", "::ffff:10.244.1.11"),
    "subnet": ("10.244.1.255", ""),
    **{f"service {name}": own for name, own in SERVICES.items()},
}
#: The node takes everything that its rules let pass: its own addresses as sources, what is for its loopback,
#: source routes and segments. The pods believe whom they hear.
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


def addresses_of(name: str) -> tuple[str, str]:
    """Addresses of a pod, a node, a node's bridge or the outside."""
    if name == "outside":
        return OUTSIDE
    if name in PODS:
        node, number = PODS[name], NUMBERS[name]
        return f"10.244.{node}.{number}", f"fd00:10:244:{node}::{number:x}"
    number = int(name[-1])
    if name in BRIDGES:
        return f"10.244.{number}.1", f"fd00:10:244:{number}::1"
    return f"192.0.2.{number}", f"2001:db8:1::{number}"


class LabBed(Bed):
    """The bed, and the lab that it stands on."""

    def __init__(self, wiring: Wiring, lab: Lab) -> None:
        _prepare(wiring, lab)
        super().__init__(wiring, spots_of(wiring, lab), OTHERS | {n: addresses_of(n) for n in BRIDGES})
        self.lab = lab
        for name in ANSWERING:
            for address in addresses_of(name):
                lab.servers.listen(self.place(name), "udp", address, LIVE_PORT)

    def objects(self) -> list[Manifest]:
        """The manifests of all that is here, without policies."""
        nodes = [
            {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": name},
                "status": {"addresses": [{"type": "InternalIP", "address": a} for a in addresses_of(name)]},
            }
            for name in NODES
        ]
        space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}}
        here = [pod(f"x/{name}", *addresses_of(name), node=f"n{node}") for name, node in PODS.items()]
        return [space, *nodes, *here]


@contextmanager
def open_bed(wiring: Wiring) -> Iterator[LabBed]:
    """Build it without any rule."""
    plans = []
    for number in (1, 2):
        kind = Routed() if wiring == "routed" else Bridged(addresses_of(f"bridge{number}"))
        own = tuple(PodPlan(name, addresses_of(name)) for name, node in PODS.items() if node == number)
        plans.append(NodePlan(f"n{number}", addresses_of(f"n{number}"), own, kind))
    with Lab(plans) as lab:
        bed = LabBed(wiring, lab)
        try:
            yield bed
        finally:
            bed.close()


def policies(namespace: str) -> list[Manifest]:
    """What isolates `v`, `w` and `e`; pods are labelled `pod=<name>`."""
    friends = [pods(pod="f"), pods(pod="r")]
    return [
        ingress(namespace, "v", {"from": friends}, name="v"),
        ingress(namespace, "w", {"from": [pods(pod="f")]}, name="w"),
        egress(namespace, "e", name="e"),
    ]


def spots_of(wiring: Wiring, lab: Lab) -> dict[str, Spot]:
    spots = {}
    for name, found in lab.pods.items():
        node = lab.nodes[found.node]
        gateway = mac_of(node, "cni0" if wiring == "bridged" else found.device)
        spots[name] = Spot(found.namespace, "eth0", addresses_of(name), gateway)
    for number, (name, node) in enumerate(lab.nodes.items(), start=1):
        uplink = mac_of(lab.outside, f"node{number}")
        spots[name] = Spot(node, "eth0", addresses_of(name), uplink)
        if wiring == "bridged":
            spots[f"bridge{number}"] = Spot(node, "cni0", addresses_of(f"bridge{number}"), b"")
    spots["outside"] = Spot(lab.outside, "node1", OUTSIDE, mac_of(lab.nodes["n1"], "eth0"))
    return spots


def _prepare(wiring: Wiring, lab: Lab) -> None:
    """Make everybody trusting; give nodes the ends of Flannel's tunnels, and Services.

    Nothing of the lab itself goes through those tunnels.
    """
    backends = {
        service: addresses_of(name)[i] for name, own in SERVICES.items() for i, service in enumerate(own)
    }
    for name, node in lab.nodes.items():
        devices = [found.device for found in lab.pods.values() if found.node == name]
        devices += ["all", "eth0", *(["cni0"] if wiring == "bridged" else [])]
        node.set_sysctls({**_TRUSTING, **{f"net.ipv6.conf.{d}.seg6_enabled": "1" for d in devices}})
        nft(node, services_script(backends))
        for address, tunnel in zip(addresses_of(name), TUNNELS.values(), strict=True):
            node.ip(
                [
                    f"link add {tunnel} type vxlan id 1 local {address} dstport 8472 nolearning",
                    f"link set {tunnel} up",
                ]
            )
    for number in (1, 2):
        for address in addresses_of(f"bridge{number}"):
            # As Flannel's bridges and Calico's tunnels have: others reach them, no Node object names them.
            if wiring == "routed":
                lab.add_address(f"n{number}", address)
            else:
                lab.outside.ip([cluster_route("add", address, f"node{number}", OUTSIDE)])
        if wiring == "bridged":
            # What an address of the bridge with a length, as Flannel's, brings with it.
            lab.nodes[f"n{number}"].ip([f"route add broadcast 10.244.{number}.255 dev cni0 table local"])
    for found in lab.pods.values():
        found.namespace.set_sysctls(_BELIEVING)
