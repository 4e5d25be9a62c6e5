"""Which routes to pods are asked for again, by what the last look found."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policyd.cluster.attachments import Attachments
from policyd.netlink.links import Link, Way
from policyd.node.attach import LocalPod
from policyd.node.ways import Look, known_ways
from policyd_compiler.ir import Attachment

ADDRESS = (4, 0x0A000001)
POD = LocalPod("shop/a", frozenset({ADDRESS}))
UPLINK, BRIDGE, VETH = (
    Link(2, "eth0"),
    Link(3, "cni0", "bridge"),
    Link(7, "veth7", "veth", 3, peer=2, netns=0),
)
LINKS = (UPLINK, BRIDGE, VETH)
BOUND = Attachments({"shop/a": Attachment("veth7", "cni0")}, ("cni0",), ("veth7",))


def look(way: Way, found: Attachments = BOUND) -> Look:
    return Look({"shop/a": POD}, {link.index: link for link in LINKS}, {ADDRESS: way}, found)


@pytest.mark.parametrize("way", [Way(7), Way(3)])
def test_a_way_by_the_pods_own_link_or_its_bridge_holds(way: Way) -> None:
    assert known_ways([POD], LINKS, look(way)) == {ADDRESS: way}


def test_another_way_is_asked_for_until_it_is_the_pods_own() -> None:
    assert known_ways([POD], LINKS, look(Way(2, gateway=True))) == {}


def test_of_a_pod_that_is_not_bound_nothing_is_known() -> None:
    assert known_ways([POD], LINKS, look(Way(3), Attachments())) == {}


def test_of_a_pod_that_is_another_nothing_is_known() -> None:
    assert known_ways([replace(POD, mac=7)], LINKS, look(Way(7))) == {}


@pytest.mark.parametrize("links", [(UPLINK, BRIDGE), (UPLINK, BRIDGE, replace(VETH, netns=1))])
def test_a_link_that_went_or_is_another_is_asked_for(links: tuple[Link, ...]) -> None:
    assert known_ways([POD], links, look(Way(7))) == {}
