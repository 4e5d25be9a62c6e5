"""Which links, addresses, routes and sysctls make a node, a pod and the outside: lines for `ip`. Pure.

Every link is point to point with the same link-local addresses at its ends, so that nothing depends on which
addresses a lab is given. Duplicate address detection is off: an address works in the moment it is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import assert_never

from policyd.lab.plan import Bridged, NodePlan, PodPlan, Routed, Wiring, family

#: The near and the far end of an uplink, and the gateway on a routed pod's veth (Calico's own address).
UPLINK = {4: ("169.254.0.1", "169.254.0.2"), 6: ("fe80::1", "fe80::2")}
POD_GATEWAY = {4: "169.254.1.1", 6: "fe80::1"}
BRIDGE = "cni0"
#: The table of the outside that leads to nodes and pods; every other address is the outside's own.
CLUSTER_TABLE = 50
_LENGTH = {4: 32, 6: 128}

EVERYWHERE: Mapping[str, str] = {
    # The lab shows what rules do: the kernel's own guard against forged sources would hide it.
    "net.ipv4.conf.all.rp_filter": "0",
    "net.ipv4.conf.default.rp_filter": "0",
    "net.ipv6.conf.all.accept_dad": "0",
    "net.ipv6.conf.default.accept_dad": "0",
    "net.ipv6.conf.default.accept_ra": "0",
    "net.ipv6.conf.default.router_solicitations": "0",
    # Refusals are evidence here, so none may be left out.
    "net.ipv4.icmp_ratelimit": "0",
    "net.ipv6.icmp.ratelimit": "0",
}
FORWARDING: Mapping[str, str] = {
    "net.ipv4.ip_forward": "1",
    "net.ipv6.conf.all.forwarding": "1",
    "net.ipv4.conf.all.send_redirects": "0",
    "net.ipv4.conf.default.send_redirects": "0",
}
OUTSIDE: Mapping[str, str] = {
    # Everything is the outside's own address, forged sources included; it takes them all the same.
    "net.ipv4.conf.all.accept_local": "1",
    # IPv6 binds to a local route's address only if that is set.
    "net.ipv6.ip_nonlocal_bind": "1",
}
BRIDGED: Mapping[str, str] = {
    "net.bridge.bridge-nf-call-iptables": "1",
    "net.bridge.bridge-nf-call-ip6tables": "1",
    "net.bridge.bridge-nf-call-arptables": "0",
}


def host_route(address: str) -> str:
    """The prefix that is one address."""
    return f"{address}/{_LENGTH[family(address)]}"


def outside_lines(version: int, speaker: Sequence[str]) -> list[str]:
    """Make every address local in the outside, except where the cluster's table leads elsewhere.

    `speaker` are the addresses that it speaks with where a process of it names none.
    """
    everything = "0.0.0.0/0" if version == 4 else "::/0"
    # Not the uplinks' own addresses: what is local cannot be a gateway.
    uplinks = ["route add throw 169.254.0.0/16 table local"] if version == 4 else []
    return [
        *uplinks,
        f"addr add {host_route(first_of(version, speaker))} dev lo{_nodad(version)}",
        f"rule add pref {CLUSTER_TABLE} lookup {CLUSTER_TABLE}",
        "rule add pref 100 lookup local",
        "rule del pref 0 lookup local",
        f"route add local {everything} dev lo table local",
    ]


def uplink_lines(node: NodePlan, device: str, peer: str, speaker: Sequence[str]) -> list[str]:
    """Connect a node, whose namespace is at `peer`; run in the outside."""
    (near4, _), (near6, _) = UPLINK[4], UPLINK[6]
    return [
        f"link add {device} type veth peer name eth0 netns {peer}",
        f"link set {device} up",
        f"addr add {near4}/32 dev {device}",
        f"addr add {near6}/64 dev {device} nodad",
        *(cluster_route("add", address, device, speaker) for address in node.addresses),
    ]


def pod_uplink_lines(change: str, pod: PodPlan, device: str, speaker: Sequence[str]) -> list[str]:
    """Lead a pod's addresses to its node, or no longer; run in the outside."""
    return [cluster_route(change, address, device, speaker) for address in pod.addresses]


def cluster_route(change: str, address: str, device: str, speaker: Sequence[str]) -> str:
    """Lead one address to the node at the end of a device, or no longer; run in the outside."""
    version = family(address)
    way = f"via {UPLINK[version][1]} dev {device} onlink src {first_of(version, speaker)}"
    return f"route {change} {host_route(address)} {way} table {CLUSTER_TABLE}"


def node_lines(node: NodePlan) -> list[str]:
    """Address a node and give it its default route; its own addresses are the source of what it sends."""
    lines = ["link set eth0 up"]
    for version in (4, 6):
        near, far = UPLINK[version]
        own = [address for address in node.addresses if family(address) == version]
        lines += [address_line("add", address) for address in own]
        lines.append(f"addr add {far}/{32 if version == 4 else 64} dev eth0{_nodad(version)}")
        everything = "0.0.0.0/0" if version == 4 else "::/0"
        lines.append(f"route add {everything} via {near} dev eth0 onlink src {own[0]}")
    match node.wiring:
        case Routed():
            pass
        case Bridged(gateways):
            # With a fixed address the bridge keeps its own when ports come and go.
            lines.append(f"link add {BRIDGE} address 02:00:00:00:00:01 type bridge")
            lines.append(f"link set {BRIDGE} up")
            lines += [f"addr add {host_route(a)} dev {BRIDGE}{_nodad(family(a))}" for a in gateways]
        case _:
            assert_never(node.wiring)
    return lines


def address_line(change: str, address: str) -> str:
    """Give a node or a pod an address of its own, or take it."""
    return f"addr {change} {host_route(address)} dev eth0{_nodad(family(address)) if change == 'add' else ''}"


def port_lines(node: NodePlan, pod: PodPlan, device: str, peer: str) -> list[str]:
    """Connect a pod, whose namespace is at `peer`; run in its node."""
    lines = [f"link add {device} type veth peer name eth0 netns {peer}", f"link set {device} up"]
    match node.wiring:
        case Routed():
            lines += [
                f"addr add {POD_GATEWAY[4]}/32 dev {device}",
                f"addr add {POD_GATEWAY[6]}/64 dev {device} nodad",
            ]
            # Like a kubelet on Calico, the node speaks to its pods with its own address.
            for address in pod.addresses:
                source = first_of(family(address), node.addresses)
                lines.append(f"route add {host_route(address)} dev {device} src {source}")
        case Bridged():
            # A pod may come back to itself through its Service, as Flannel's hairpinMode has it.
            lines.append(f"link set {device} master {BRIDGE}")
            lines.append(f"link set {device} type bridge_slave hairpin on")
            lines += [f"route add {host_route(address)} dev {BRIDGE}" for address in pod.addresses]
        case _:
            assert_never(node.wiring)
    return lines


def unplug_lines(wiring: Wiring, pod: PodPlan, device: str) -> list[str]:
    """Disconnect a pod; run in its node. A bridge outlives its port, and so do the routes over it."""
    routes = [f"route del {host_route(address)} dev {BRIDGE}" for address in pod.addresses]
    return [f"link del {device}", *(routes if isinstance(wiring, Bridged) else ())]


def pod_lines(pod: PodPlan, wiring: Wiring, siblings: Iterable[PodPlan]) -> list[str]:
    """Address a pod and give it its routes; on a bridge its siblings are on its link."""
    lines = ["link set eth0 up"]
    match wiring:
        case Routed():
            gateways = POD_GATEWAY
        case Bridged(addresses):
            gateways = {family(address): address for address in addresses}
            lines += neighbour_lines("add", pod, siblings)
        case _:
            assert_never(wiring)
    versions = {family(address) for address in pod.addresses}
    lines[1:1] = [address_line("add", address) for address in pod.addresses]
    for version in sorted(versions):
        everything = "0.0.0.0/0" if version == 4 else "::/0"
        lines.append(f"route add {everything} via {gateways[version]} dev eth0 onlink")
    return lines


def neighbour_lines(change: str, pod: PodPlan, others: Iterable[PodPlan]) -> list[str]:
    """Routes by which a bridged pod reaches others on its link, where it has an address of the family."""
    versions = {family(address) for address in pod.addresses}
    return [
        f"route {change} {host_route(address)} dev eth0"
        for other in others
        for address in other.addresses
        if family(address) in versions
    ]


def device_name(wiring: Wiring, number: int) -> str:
    """A pod's interface in its node, named as its kind of network names them."""
    return f"cali{number}" if isinstance(wiring, Routed) else f"veth{number}"


def first_of(version: int, addresses: Sequence[str]) -> str:
    """The first address of a family. Plans are checked to have one."""
    return next(address for address in addresses if family(address) == version)


def _nodad(version: int) -> str:
    return " nodad" if version == 6 else ""
