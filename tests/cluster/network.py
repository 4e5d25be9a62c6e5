"""The pods' networks: plain routes (ptp, as kindnet), Flannel (bridge and VXLAN), Cilium (eBPF)."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from typing import Literal, TypeAlias, assert_never

from tests.cluster import programs
from tests.cluster.addresses import PODS, Addresses
from tests.cluster.component import Component
from tests.cluster.control_plane import ControlPlane
from tests.cluster.failures import wait_until
from tests.cluster.machine import Machine
from tests.cluster.node import Node
from tests.cluster.requirements import SYSTEM_PATH, Part

Name: TypeAlias = Literal["ptp", "flannel", "cilium"]
#: How Cilium takes packets from pod to pod: by eBPF, past the node's stack, and by routes between nodes; by
#: the stack (`legacy`); by eBPF and a tunnel between nodes; as the first, and in the place of kube-proxy.
CiliumWay: TypeAlias = Literal["ebpf", "legacy", "tunnel", "replacing"]

START_SECONDS = 60
PORTMAP = {"type": "portmap", "capabilities": {"portMappings": True}}


def parts(network: Name) -> tuple[Part, ...]:
    """Name the parts that must be built and installed for a network."""
    return ("control-plane", "nodes") if network == "ptp" else ("control-plane", "nodes", network)


def prepare(network: Name, plane: ControlPlane, nodes: Iterable[Node], way: CiliumWay) -> None:
    """Do what is done once for a cluster: configurations, and components that are started with their node."""
    match network:
        case "ptp":
            pass
        case "flannel":
            settings = plane.path / "flannel.json"
            settings.write_text(FLANNEL)
            for node in nodes:
                node.write_network("10-flannel.conflist", FLANNEL_CNI)
                node.agents.append(_flannel(node, plane, str(settings)))
        case "cilium":
            plane.kubectl("apply", "--server-side", "--filename", str(programs.folder("cilium") / "crds"))
            for node in nodes:
                node.write_network("05-cilium.conflist", CILIUM_CNI)
                node.agents.append(_cilium(node, plane, way))
        case _:
            assert_never(network)


def connect(network: Name, plane: ControlPlane, node: Node, nodes: Iterable[Node]) -> None:
    """Do what is done whenever a node has booted and its pods' ranges are known."""
    match network:
        case "ptp":
            node.write_network("10-ptp.conflist", _ptp_cni(pod_ranges(plane, node)))
            _join(plane, nodes)
        case "flannel":
            node.run("mkdir", "-p", "/run/flannel")
            node.agents[0].start()
            _wait_for_file(node, "/run/flannel/subnet.env")
        case "cilium":
            node.run("mkdir", "-p", "/run/cilium/cgroupv2")
            # Pinned maps are kept by mount: nodes that shared one would share their maps.
            node.run("mount", "-t", "bpf", "bpf", "/sys/fs/bpf")
            node.agents[0].start()
            _wait_for_file(node, "/run/cilium/cilium.sock")
            _add_route(plane.machine, pod_ranges(plane, node), node.addresses)
        case _:
            assert_never(network)


def pod_ranges(plane: ControlPlane, node: Node) -> Addresses:
    """Give the ranges of a node's pods."""
    v4, v6 = plane.get("node", node.name)["spec"]["podCIDRs"]
    return Addresses(v4, v6)


def _wait_for_file(node: Node, path: str) -> None:
    agent = node.agents[0]
    wait_until(
        lambda: node.run("test", "-e", path, check=False).returncode == 0,
        f"{agent.name} did not make {path}",
        seconds=START_SECONDS,
        check=agent.check,
    )


# ptp: each pod on a routed veth; the machines know each other's ranges.


def _ptp_cni(ranges: Addresses) -> dict[str, object]:
    ipam = {
        "type": "host-local",
        "ranges": [[{"subnet": ranges.v4}], [{"subnet": ranges.v6}]],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
    }
    return {"cniVersion": "1.0.0", "name": "ptp", "plugins": [{"type": "ptp", "ipam": ipam}, PORTMAP]}


def _join(plane: ControlPlane, nodes: Iterable[Node]) -> None:
    nodes = tuple(nodes)
    for node in nodes:
        ranges = pod_ranges(plane, node)
        for machine in (plane.machine, *(other.machine for other in nodes if other is not node)):
            _add_route(machine, ranges, node.addresses)


def _add_route(machine: Machine, ranges: Addresses, via: Addresses) -> None:
    if machine.running:
        routes = f"route replace {ranges.v4} via {via.v4}\nroute replace {ranges.v6} via {via.v6}\n"
        machine.run("ip", "-batch", "-", stdin=routes)


# Flannel, as its own manifest sets it up, in both families and with nftables.

FLANNEL = f"""{{
    "Network": "{PODS.v4}", "IPv6Network": "{PODS.v6}", "EnableIPv4": true, "EnableIPv6": true,
    "EnableNFTables": true, "Backend": {{"Type": "vxlan"}}
}}"""
FLANNEL_CNI: dict[str, object] = {
    "cniVersion": "0.3.1",
    "name": "cbr0",
    "plugins": [{"type": "flannel", "delegate": {"hairpinMode": True, "isDefaultGateway": True}}, PORTMAP],
}


def _flannel(node: Node, plane: ControlPlane, settings: str) -> Component:
    access = str(plane.authority.file("admin.conf"))
    environment = {"NODE_NAME": node.name, "KUBECONFIG": access, "NETCONF": settings}
    return node.component("flanneld", programs.program("flanneld"), env=environment)


# Cilium as a plain network, without policy of its own.

CILIUM_CNI: dict[str, object] = {
    "cniVersion": "0.3.1",
    "name": "cilium",
    "plugins": [{"type": "cilium-cni", "log-file": "/run/cilium/cni.log"}],
}


ROUTES = {
    "routing-mode": "native",
    "ipv4-native-routing-cidr": PODS.v4,
    "ipv6-native-routing-cidr": PODS.v6,
    "auto-direct-node-routes": "true",
}
TUNNEL = {"routing-mode": "tunnel", "tunnel-protocol": "vxlan"}


def _cilium(node: Node, plane: ControlPlane, way: CiliumWay) -> Component:
    library, tools = node.path / "cilium", node.path / "tools"
    shutil.copytree(programs.folder("cilium") / "bpf", library / "bpf")
    tools.mkdir()
    for tool in ("clang", "llc"):  # the agent calls them by these names, Debian by others
        (tools / tool).symlink_to(shutil.which(f"{tool}-19", path=SYSTEM_PATH) or f"{tool}-19")
    options = {
        "k8s-kubeconfig-path": plane.authority.file("admin.conf"),
        "identity-allocation-mode": "crd",
        "cluster-name": "default",
        "cluster-id": 0,
        "enable-ipv4": "true",
        "enable-ipv6": "true",
        "ipam": "kubernetes",
        "devices": "eth0",
        **(TUNNEL if way == "tunnel" else ROUTES),
        "enable-host-legacy-routing": str(way == "legacy").lower(),
        # Without them pods of one node reach each other by eBPF, also on the way through the host's stack.
        "enable-endpoint-routes": str(way == "legacy").lower(),
        "kube-proxy-replacement": str(way == "replacing").lower(),
        # Services are rewritten at the pods' interfaces: at `connect` it would be in the host's cgroups.
        "bpf-lb-sock": "false",
        "enable-policy": "never",
        "enable-l7-proxy": "false",
        "enable-hubble": "false",
        "enable-health-checking": "false",
        "enable-endpoint-health-checking": "false",
        "enable-ipv4-masquerade": "false",
        "enable-ipv6-masquerade": "false",
        "cgroup-root": "/run/cilium/cgroupv2",
        "lib-dir": library,
        "state-dir": "/run/cilium",
    }
    environment = {
        "PATH": f"{tools}:{SYSTEM_PATH}",
        "K8S_NODE_NAME": node.name,
        "CILIUM_K8S_NAMESPACE": "kube-system",
    }
    command = (programs.program("cilium-agent"), *(f"--{name}={value}" for name, value in options.items()))
    return node.component("cilium-agent", *command, env=environment)
