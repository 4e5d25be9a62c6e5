"""Two nodes of one cluster on one wire, with real plugins and an agent each; and somebody outside of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from policyd.lab.namespace import Namespace
from policyd.netlink.links import read_links
from tests.agent.agents import write
from tests.cni.bed import Bed, pod_manifest
from tests.networks.beside import Pod
from tests.node.ebpf import attach, load_redirect

#: By name, of the outside.
OUTSIDE = ("203.0.113.7", "2001:db8:7::7")
_BRIDGED = {"net.bridge.bridge-nf-call-iptables": "1", "net.bridge.bridge-nf-call-ip6tables": "1"}
#: What Flannel writes where it uses nftables: pods leave the cluster with the node's address.
_MASQUERADE = """\
table ip flannel-ipv4 {
	chain postrtg {
		type nat hook postrouting priority 100;
		ip saddr 10.244.0.0/16 ip daddr 10.244.0.0/16 return
		ip saddr 10.244.0.0/16 ip daddr != 224.0.0.0/4 masquerade fully-random
	}
	chain forward {
		type filter hook forward priority 0;
		ip saddr 10.244.0.0/16 accept
		ip daddr 10.244.0.0/16 accept
	}
}
table ip6 flannel-ipv6 {
	chain postrtg {
		type nat hook postrouting priority 100;
		ip6 saddr fd00:10::/32 ip6 daddr fd00:10::/32 return
		ip6 saddr fd00:10::/32 ip6 daddr != ff00::/8 masquerade fully-random
	}
}
"""


class Node(Bed):
    """One of the nodes, `n1` or `n2`; what the API server says is said to both."""

    def __init__(self, stack: ExitStack, directory: Path, number: int, plugins: list[dict[str, Any]]) -> None:
        directory.mkdir()
        super().__init__(stack, directory, "bridge")
        self.number = number
        self.node.set_sysctls(_BRIDGED)
        self.list.write_text(json.dumps({"cniVersion": "1.0.0", "name": "cbr0", "plugins": plugins}))

    def say(self, name: str, *, uid: str = "", address: str = "", app: str = "") -> None:
        text = pod_manifest(name, uid=uid, address=address, app=app)
        write(self.manifests, f"{name}.yaml", text.replace("nodeName: n1", f"nodeName: n{self.number}"))

    def run_pod(self, name: str, app: str = "") -> Pod:
        """A pod that runs, and of whose addresses the API server has told."""
        pod = Pod(self, name, app).start()
        # All of them, where a manifest of the bed has one.
        addresses = "}, {ip: ".join(f'"{address}"' for address in pod.addresses)
        self.say(name, app=app, address=addresses)
        return pod


class Nodes:
    """Both nodes, wired to each other and to the outside by a switch."""

    def __init__(self, stack: ExitStack, directory: Path, plugins: Any) -> None:
        """`plugins` gives the plugins of a node, by its number and the directory for addresses."""
        self.one, self.two = self.both = tuple(
            Node(stack, directory / f"n{n}", n, plugins(n, str(directory / f"n{n}" / "ipam"))) for n in (1, 2)
        )
        self.two.manifests = self.one.manifests
        self.outside = self.one.namespace("outside")
        self.outside.ip(
            [
                "link add wire type bridge",
                "link set wire up",
                "addr add 192.0.2.254/24 dev wire",
                "addr add 2001:db8::254/64 dev wire nodad",
                *(f"addr add {address} dev lo" for address in OUTSIDE),
            ]
        )
        for node in self.both:
            self._plug_in(node)

    def _plug_in(self, node: Node) -> None:
        n = node.number
        self.outside.ip(
            [
                f"link add to-n{n} type veth peer name up0 netns {node.node.path}",
                f"link set to-n{n} up master wire",
            ]
        )
        node.node.ip(
            [
                "link set up0 up",
                f"addr add 192.0.2.{n}/24 dev up0",
                f"addr add 2001:db8::{n}/64 dev up0 nodad",
                "route add default via 192.0.2.254",
                "route add default via 2001:db8::254",
            ]
        )

    @contextmanager
    def agents(self, *flags: str) -> Iterator[None]:
        """An agent on each node, of which each knows its own pods by libcni's results."""
        with ExitStack() as stack:
            for node in self.both:
                own = ("--node", f"n{node.number}", "--cni-cache", str(node.runtime.results))
                stack.enter_context(node.agent(*own, *flags))
            yield


def flannel_plugins(number: int, ipam: str) -> list[dict[str, Any]]:
    """As Flannel's plugin delegates to them."""
    ranges = [[{"subnet": f"10.244.{number}.0/24"}], [{"subnet": f"fd00:10:{number}::/64"}]]
    return [
        {
            "type": "bridge",
            "bridge": "cni0",
            "hairpinMode": True,
            "isGateway": True,
            "isDefaultGateway": True,
            "ipMasq": False,
            "ipam": {"type": "host-local", "dataDir": ipam, "ranges": ranges},
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ]


def flannel(stack: ExitStack, directory: Path) -> Nodes:
    """As flanneld connects nodes: VXLAN of each family, its entries written by hand, and masquerading."""
    nodes = Nodes(stack, directory, flannel_plugins)
    tunnel = "dev up0 dstport 8472 nolearning"
    macs = {node.number: f"02:00:00:00:00:0{node.number}" for node in nodes.both}
    for node, other in (nodes.both, nodes.both[::-1]):
        n, m = node.number, other.number
        node.node.ip(
            [
                f"link add flannel.1 address {macs[n]} type vxlan id 1 local 192.0.2.{n} {tunnel}",
                "link set flannel.1 up",
                f"addr add 10.244.{n}.0/32 dev flannel.1",
                f"neigh replace 10.244.{m}.0 lladdr {macs[m]} nud permanent dev flannel.1",
                f"route add 10.244.{m}.0/24 via 10.244.{m}.0 dev flannel.1 onlink",
                f"link add flannel-v6.1 address {macs[n]} type vxlan id 1 local 2001:db8::{n} {tunnel}",
                "link set flannel-v6.1 up",
                f"addr add fd00:10:{n}::/128 dev flannel-v6.1 nodad",
                f"neigh replace fd00:10:{m}:: lladdr {macs[m]} nud permanent dev flannel-v6.1",
                f"route add fd00:10:{m}::/64 via fd00:10:{m}:: dev flannel-v6.1 onlink",
            ]
        )
        for device, end in (("flannel.1", f"192.0.2.{m}"), ("flannel-v6.1", f"2001:db8::{m}")):
            ran(node.node, "bridge", "fdb", "append", macs[m], "dev", device, "dst", end)
        ran(node.node, "nft", "-f", "-", stdin=_MASQUERADE)
        nodes.outside.ip(
            [f"route add 10.244.{n}.0/24 via 192.0.2.{n}", f"route add fd00:10:{n}::/64 via 2001:db8::{n}"]
        )
    return nodes


def weave_plugins(number: int, ipam: str) -> list[dict[str, Any]]:
    """One network for all nodes, of which each has a part; and a gateway of its own."""
    own = 32 if number == 1 else 40
    part = {
        "subnet": "10.32.0.0/12",
        "rangeStart": f"10.{own}.0.10",
        "rangeEnd": f"10.{own}.0.99",
        "gateway": f"10.{own}.0.1",
    }
    addresses = {"type": "host-local", "dataDir": ipam, "ranges": [[part]], "routes": [{"dst": "0.0.0.0/0"}]}
    return [
        {"type": "bridge", "bridge": "weave", "hairpinMode": True, "isGateway": True, "ipam": addresses},
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ]


def weave(stack: ExitStack, directory: Path) -> Nodes:
    """As Weave Net connects nodes: one link for all pods, by a switch of the node that shows no packet to IP.

    That is Open vSwitch's datapath; here two programs carry all packets between the bridge and the tunnel.
    """
    nodes = Nodes(stack, directory, weave_plugins)
    for node, other in (nodes.both, nodes.both[::-1]):
        node.node.ip(
            [
                "link add weave type bridge",  # the plugin would make it with the first pod
                "link set weave up",
                "link add vethwe-bridge type veth peer name vethwe-datapath",
                "link set vethwe-bridge up master weave",
                "link set vethwe-datapath up",
                f"link add vxlan-6784 type vxlan id 1 remote 192.0.2.{other.number} dev up0 dstport 6784",
                "link set vxlan-6784 up",
            ]
        )
        ends = ("vethwe-datapath", "vxlan-6784")
        with node.node.entered():
            indexes = {link.name: link.index for link in read_links()}
        for end, far in (ends, ends[::-1]):
            ran(node.node, "tc", "qdisc", "add", "dev", end, "clsact")
            with node.node.entered():
                attach(load_redirect(indexes[far]), indexes[end])
    return nodes


def ran(place: Namespace, *command: str, stdin: str = "") -> None:
    """Run a program that must not fail."""
    done = place.run(command, stdin)
    assert done.returncode == 0, done.stderr
