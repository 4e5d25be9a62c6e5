"""The bed of tests/attacks on a real cluster with Flannel: the same pods, the same rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import IPv4Network, IPv6Network

from policyd.lab.namespace import Namespace
from policyd.lab.servers import Servers
from tests.attacks.bed import ANSWERING, BRIDGES, LIVE_PORT, NODES, PODS, Bed, Spot, mac_of
from tests.cluster.addresses import CONTROL_PLANE, Addresses
from tests.cluster.client import Manifest
from tests.cluster.cluster import Cluster
from tests.cluster.network import pod_ranges
from tests.cluster.policyd.pods import Place, Pods, network_of

NAMESPACE = "attacks"
#: Whose Services there are.
SERVED = ("a", "s")
#: How far into the range of n1's pods no pod is.
UNUSED = 200
#: What the control plane's machine calls the network of the nodes.
LAN = "lan"


@contextmanager
def opened_bed(cluster: Cluster) -> Iterator[tuple[Bed, str]]:
    """Start the pods; give the bed and the name of their namespace. No policy is there yet."""
    with Pods(cluster) as pods, ExitStack() as stack:
        namespace = pods.namespace(NAMESPACE)
        found = pods.start(namespace, {name: Place(f"n{node}", {"pod": name}) for name, node in PODS.items()})
        nodes = {name: network_of(name, cluster.node(name).machine) for name in NODES}
        places = {name: stack.enter_context(network) for name, network in nodes.items()}
        outside = stack.enter_context(network_of("outside", cluster.plane.machine))
        spots = {
            name: Spot(pod.network, "eth0", _pair(pod.addresses), mac_of(places[f"n{PODS[name]}"], "cni0"))
            for name, pod in found.items()
        }
        spots |= {name: Spot(places[node], "cni0", _own(places[node]), b"") for name, node in BRIDGES.items()}
        uplink = mac_of(places["n1"], "eth0")
        for name in NODES:
            spots[name] = Spot(places[name], "eth0", _both(cluster.node(name).addresses), uplink)
        spots["outside"] = Spot(outside, LAN, _both(CONTROL_PLANE), uplink)
        ranges = pod_ranges(cluster.plane, cluster.node("n1"))
        v4, v6 = IPv4Network(ranges.v4), IPv6Network(ranges.v6)
        others = {
            "unknown": (str(v4[UNUSED]), str(v6[UNUSED])),
            "mapped": ("", f"::ffff:{spots['f'].addresses[0]}"),
            "subnet": (str(v4.broadcast_address), ""),
            **_services(cluster, namespace),
        }
        bed = Bed("bridged", spots, others)
        stack.callback(bed.close)
        servers = stack.enter_context(Servers())
        for name in ANSWERING:
            for address in spots[name].addresses:
                servers.listen(spots[name].place, "udp", address, LIVE_PORT)
        yield bed, namespace


def _both(addresses: Addresses) -> tuple[str, str]:
    return addresses.v4, addresses.v6


def _pair(addresses: tuple[str, ...]) -> tuple[str, str]:
    """The first address of each family."""
    (v4,) = [a for a in addresses if ":" not in a]
    (v6,) = [a for a in addresses if ":" in a]
    return v4, v6


def _own(node: Namespace) -> tuple[str, str]:
    """The addresses of a node's bridge."""
    [link] = json.loads(node.run(["ip", "-json", "address", "show", "dev", "cni0"]).stdout)
    return _pair(tuple(a["local"] for a in link["addr_info"] if a["scope"] == "global"))


def _services(cluster: Cluster, namespace: str) -> dict[str, tuple[str, str]]:
    """Make a Service for each pod that has one, and give their addresses by `service NAME`."""
    cluster.apply(*(_service(name, namespace) for name in SERVED))
    return {
        f"service {name}": _pair(
            tuple(cluster.get("service", name, namespace=namespace)["spec"]["clusterIPs"])
        )
        for name in SERVED
    }


def _service(name: str, namespace: str) -> Manifest:
    ports = [{"name": kind.lower(), "port": 53, "protocol": kind} for kind in ("UDP", "TCP")]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"pod": name}, "ports": ports, "ipFamilyPolicy": "RequireDualStack"},
    }
