"""Where pods can be judged, found from what a node's kernel says: on real links, and in tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from policyd.lab.namespace import Namespace
from policyd.netlink.links import Way, read_links, read_ways
from policyd.node.findings import judge
from policyd.node.placement import Placement, patterns, place, uncovered
from tests.node.made import facts


@pytest.fixture
def node() -> Iterator[Namespace]:
    with closing(Namespace("node")) as made:
        yield made


@pytest.fixture
def pod() -> Iterator[Namespace]:
    with closing(Namespace("pod")) as made:
        yield made


def placed(node: Namespace, *addresses: str) -> dict[str, Placement]:
    with node.entered():
        return place(read_links(), read_ways(addresses))


@pytest.mark.kernel
def test_a_routed_pod_is_behind_a_link_of_its_own(node: Namespace, pod: Namespace) -> None:
    node.ip(
        [
            f"link add eni12ab type veth peer name eth0 netns {pod.path}",
            "link set eni12ab up",
            "route add 10.0.0.1 dev eni12ab",
            "route add fd00::1 dev eni12ab",
        ]
    )
    pod.ip(["link set eth0 up"])
    found = placed(node, "10.0.0.1", "fd00::1")
    assert found == dict.fromkeys(("10.0.0.1", "fd00::1"), Placement("link", "eni12ab"))
    assert uncovered(found.values(), ["veth*", "cali*"]) == ("eni12ab",)
    assert uncovered(found.values(), ["veth*", "eni*"]) == ()


@pytest.mark.kernel
def test_a_bridged_pod_is_on_its_bridge(node: Namespace, pod: Namespace) -> None:
    node.ip(
        [
            "link add cni0 type bridge",
            "addr add 10.0.0.254/24 dev cni0",
            "link set cni0 up",
            f"link add veth1 type veth peer name eth0 netns {pod.path}",
            "link set veth1 master cni0 up",
        ]
    )
    found = placed(node, "10.0.0.1")
    assert found == {"10.0.0.1": Placement("bridge", "cni0")}
    assert uncovered(found.values(), ["eth*"]) == ()


@pytest.mark.kernel
def test_a_pod_on_macvlan_is_next_to_what_the_node_sees(node: Namespace, pod: Namespace) -> None:
    """By the uplink's own network, and by a macvlan of the node's that was made to reach pods."""
    node.ip(
        [
            f"link add up0 type veth peer name wire netns {pod.path}",
            "addr add 192.0.2.1/24 dev up0",
            "link set up0 up",
            "link add shim link up0 type macvlan mode bridge",
            "link set shim up",
            "route add 192.0.2.7 dev shim",
            "route add 198.51.100.0/24 via 192.0.2.254",
        ]
    )
    found = placed(node, "192.0.2.7", "198.51.100.9", "203.0.113.1")
    assert found == {"192.0.2.7": Placement("beside", "shim"), "198.51.100.9": Placement("beside")}


def test_the_next_pods_interfaces_are_reported_by_the_names_of_the_known_ones() -> None:
    known = (
        "veth1234abcd",
        "cali0a1b2c3d4e5",
        "lxc12ab34cd",
        "vethwepl1a2b3c4",
        "eni0123abcd",
        "gke1a2b",
        "azv99",
    )
    assert patterns(known) == ("azv*", "cali*", "eni*", "gke*", "lxc*", "veth*", "vethwepl*")
    assert patterns(["pod7", "pod12", "nic"]) == ("nic", "pod*")
    assert patterns(["a1", "eth0"]) == ("a1", "eth0")


def test_an_interface_that_no_name_covers_is_found_when_it_stays() -> None:
    node = facts({"10.0.0.1": Way(4)})  # cali1
    [finding] = judge([node], ["veth*"])
    assert (finding.name, finding.degraded) == ("pods-uncovered", False)
    assert finding.text.endswith("add cali*")
    assert judge([facts({}), node], ["veth*"]) == ()
    for names in (["cali*"], ["veth*", "cali1"], []):
        assert judge([node], names) == ()
