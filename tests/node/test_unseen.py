"""Which pods belong into their own namespaces: told from links, routes and programs, made up and real."""

from __future__ import annotations

from contextlib import closing

import pytest

from policyd.lab.namespace import Namespace
from policyd.netlink.links import Link, Way
from policyd.node.unseen import Ways, read_unseen, unseen_reason
from tests.node.ebpf import attach, attach_tcx, load_pass

ROUTED, UPLINK, MACVLAN = Link(1, "veth1", "veth"), Link(2, "eth0"), Link(3, "shim", "macvlan")
BRIDGE, NETKIT, CILIUM = Link(4, "cni0", "bridge"), Link(5, "nk1", "netkit"), Link(6, "cilium_host", "veth")
POD = "10.0.0.1"


def reason(
    way: Way | None,
    *links: Link,
    programmed: frozenset[int] = frozenset(),
    shows: bool = True,
    interface: str | None = None,
) -> str:
    known = {link.index: link for link in (ROUTED, UPLINK, MACVLAN, BRIDGE, NETKIT, *links)}
    return unseen_reason(POD, Ways(known, {} if way is None else {POD: way}, programmed, shows), interface)


@pytest.mark.parametrize(
    ("found", "word"),
    [
        (reason(Way(1)), ""),
        (reason(Way(4)), ""),
        (reason(Way(4), shows=False), "br_netfilter"),
        (reason(Way(2)), "eth0"),
        (reason(Way(2, gateway=True)), "gateway"),
        (reason(Way(3)), "shim"),
        (reason(Way(5)), "nk1"),
        (reason(Way(1), programmed=frozenset({1})), "eBPF program on veth1"),
        (reason(Way(4), programmed=frozenset({1}), interface="veth1"), "eBPF program on veth1"),
        (reason(Way(1), CILIUM), "Cilium"),
        (reason(None), "no route"),
    ],
)
def test_what_may_be_unseen_has_a_reason(found: str, word: str) -> None:
    assert word in found
    assert bool(found) == bool(word)


@pytest.mark.kernel
@pytest.mark.parametrize("way", ["tc", "tcx"])
def test_a_program_on_a_pods_link_is_found(way: str) -> None:
    """Attached by tc, which links list, and by TCX, which they do not."""
    with closing(Namespace("node")) as node, closing(Namespace("pod")) as pod:
        node.ip(
            [
                f"link add veth1 type veth peer name eth0 netns {pod.path}",
                "link set veth1 up",
                "route add 10.0.0.1 dev veth1",
            ]
        )
        pod.ip(["link set eth0 up"])
        with node.entered():
            assert unseen_reason(POD, read_unseen([POD])) == ""
            [index] = [link.index for link in read_unseen([]).links.values() if link.name == "veth1"]
            if way == "tc":
                assert node.run(["tc", "qdisc", "add", "dev", "veth1", "clsact"]).returncode == 0
                attach(load_pass(), index)
            else:
                attach_tcx(load_pass(), index)
            assert "eBPF program on veth1" in unseen_reason(POD, read_unseen([POD]))
