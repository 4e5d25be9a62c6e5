"""Which network a node has: by its links, by what its runtime calls, by how its pods are reached."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from policyd.cni.plugins import read_plugins
from policyd.doctor.node_lines import network_line
from policyd.netlink.links import Link, Way
from policyd.node.facts import Facts
from policyd.node.networks import networks_of
from tests.node.made import facts

POD = "10.0.0.1"


def node(*links: str, way: Link | None = None, bridge4: str | None = "1") -> Facts:
    """A node with links of these names, and a pod that is reached by one more."""
    found = tuple(Link(number, name) for number, name in enumerate(links, start=1))
    ways = {} if way is None else {POD: Way(way.index)}
    return facts(ways, (*found, *(() if way is None else (way,))), bridge4=bridge4)


def names(found: Facts, *plugins: str) -> list[str]:
    return [network.name for network in networks_of(found, plugins)]


@pytest.mark.parametrize(
    ("links", "plugins", "expected"),
    [
        (("cilium_host", "lxc1"), ("cilium-cni",), "Cilium"),
        (("bpfin.cali", "cali1"), ("calico", "portmap"), "Calico, eBPF"),
        (("cali1", "tunl0"), (), "Calico, iptables or nftables"),
        (("flannel.1", "cni0"), (), "Flannel, VXLAN"),
        (("cni0",), ("flannel", "portmap"), "Flannel, VXLAN"),
        (("weave", "vethwe-bridge"), (), "Weave Net"),
        (("eni0a1b",), ("aws-cni",), "Amazon VPC CNI"),
        (("azv1",), (), "Azure CNI, transparent"),
        (("gke1",), (), "GKE without Dataplane V2"),
        (("eth0",), ("macvlan",), "macvlan"),
        (("eth0",), ("ipvlan",), "ipvlan, netkit"),
        (("veth1",), ("ptp", "portmap"), "ptp, kindnet"),
    ],
)
def test_a_network_is_known_by_its_links_and_plugins(
    links: tuple[str, ...], plugins: tuple[str, ...], expected: str
) -> None:
    assert names(node("lo", "eth0", *links), *plugins) == [expected]


def test_what_has_no_name_is_known_by_how_pods_are_reached() -> None:
    """Routed pods, and those on a bridge that IP does not see."""
    veth, bridge = Link(9, "veth1", "veth", peer=2, netns=0), Link(9, "br7", "bridge")
    assert names(node("eth0", way=veth)) == ["ptp, kindnet"]
    assert names(node("eth0", way=bridge, bridge4=None)) == ["a bridge without br_netfilter"]
    assert names(node("eth0", bridge4=None), "bridge") == ["a bridge without br_netfilter"]
    assert names(node("eth0", way=bridge)) == []
    assert names(node("eth0"), "bridge") == []
    assert names(node("eth0", bridge4=None)) == []


def test_a_mesh_is_on_top_of_a_network() -> None:
    assert names(node("flannel.1"), "flannel", "portmap", "istio-cni") == [
        "Flannel, VXLAN",
        "Istio, sidecars",
        "Istio, ambient",
    ]


def test_the_first_configuration_says_what_is_called(tmp_path: Path) -> None:
    """As libcni takes them; what is no configuration says nothing."""
    assert read_plugins(tmp_path / "none") == read_plugins(tmp_path) == ()
    (tmp_path / "20-later.conf").write_text(json.dumps({"type": "ptp"}))
    assert read_plugins(tmp_path) == ("ptp",)
    plugins = [{"type": "bridge"}, {"type": "portmap"}]
    (tmp_path / "10-net.conflist").write_text(json.dumps({"plugins": plugins}))
    (tmp_path / "00-readme.txt").write_text("")
    assert read_plugins(tmp_path) == ("bridge", "portmap")
    for text in ("{", "[]", '{"plugins": [1]}', "\xff"):
        (tmp_path / "10-net.conflist").write_text(text)
        assert read_plugins(tmp_path) == ()


def test_the_line_says_what_there_is_to_set() -> None:
    line = network_line(node("cali1"), ())
    assert line.text == (
        "Calico, iptables or nftables (placement: link; pod_interfaces: cali*; "
        "in the network: nothing; flow table offload off, as by default): docs/networks.md"
    )
    assert network_line(node("eth0"), ("other",)).text.endswith("(the runtime calls other)")
