"""NP-164: what is the link's own, and only as it is on a link."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policyd_compiler.ir import Network
from policyd_compiler.nft.packet import HookName, Packet
from policyd_compiler.options import Options
from policyd_compiler.sim import Simulator
from tests.bridge import ALL6, LINK6, MDNS6, Bridge, Pod, compiled, icmp6

CLOSED, OPEN = Options(pod_interfaces=("veth*",)), Options()
ISOLATED = (Pod("a", bridge="", hears=(), says=()), Pod("b", bridge=""))
A, B = ISOLATED
OUTSIDE6 = 0x2001 << 112
NEIGHBOURS, ROUTERS, GROUPS = (133, 135, 136), (134, 137), (130, 131, 132, 143)
REST = (1, 2, 3, 4, 128, 129, 138, 139, 140, 141, 142, 144, 148, 149, 151, 255)
NEVER = (0, 1, 64, 254)


def passes(packet: Packet, options: Options, *, hook: HookName = "forward", way: str = "eth0 vetha") -> bool:
    """Whether the packet reaches a pod that is isolated and lets nobody in, or leaves it."""
    coming, _, going = way.partition(" ")
    met = replace(packet, ct_state="untracked", hook=hook, iifname=coming, oifname=going)
    return Simulator(compiled(*ISOLATED, options=options)).evaluate(met).verdict == "accept"


@pytest.mark.parametrize("options", [CLOSED, OPEN], ids=["closed", "open"])
@pytest.mark.parametrize("kind", [*NEIGHBOURS, *ROUTERS])
def test_neighbour_discovery_passes_with_the_hop_limit_that_no_router_leaves(
    kind: int, options: Options
) -> None:
    assert passes(icmp6(kind, OUTSIDE6, A.v6), options)
    assert passes(icmp6(kind, OUTSIDE6, A.v6), options, hook="output", way=" vetha")
    assert not [hops for hops in NEVER if passes(icmp6(kind, OUTSIDE6, A.v6, hops=hops), options)]


@pytest.mark.parametrize("hook", ["forward", "input"])
@pytest.mark.parametrize("options", [CLOSED, OPEN], ids=["closed", "open"])
@pytest.mark.parametrize("kind", ROUTERS)
def test_a_pod_is_no_router(kind: int, options: Options, hook: HookName) -> None:
    """From a pod that nothing isolates, with whatever source and hop limit."""
    for source in (B.v6, B.link6):
        for hops in (255, *NEVER):
            advert = icmp6(kind, source, OUTSIDE6, hops=hops)
            assert not passes(advert, options, hook=hook, way="vethb eth0")
            assert not passes(advert, options, hook=hook, way="vethb vetha")


@pytest.mark.parametrize("options", [CLOSED, OPEN], ids=["closed", "open"])
@pytest.mark.parametrize("kind", GROUPS)
def test_mld_passes_from_the_link_to_a_group(kind: int, options: Options) -> None:
    expected = {
        (A.link6, MDNS6): True,
        (0, ALL6): True,
        (LINK6 | 7, A.v6): False,
        (0, A.v6): False,
        (A.v6, MDNS6): False,  # whatever the hop limit: a global source is judged
        (OUTSIDE6, A.v6): False,
    }
    # Of a pod without a known interface: from the others' only their own addresses are forwarded.
    simulator = Simulator(compiled(replace(A, port=""), options=options))
    found = {
        ends: {
            simulator.evaluate(
                replace(icmp6(kind, *ends, hops=hops), ct_state="untracked", iifname="veth1", oifname="veth2")
            ).verdict
            == "accept"
            for hops in (1, 255)
        }
        for ends in expected
    }
    assert found == {ends: {verdict} for ends, verdict in expected.items()}


@pytest.mark.parametrize("kind", REST)
def test_any_other_icmpv6_is_judged(kind: int) -> None:
    for ends in ((OUTSIDE6, A.v6), (A.v6, OUTSIDE6), (A.v6, MDNS6)):
        assert not passes(icmp6(kind, *ends), OPEN)


def test_icmp_of_ipv4_with_these_numbers_is_judged() -> None:
    for kind in (*NEIGHBOURS, *ROUTERS, *GROUPS):
        packet = Packet(4, 203 << 24, A.v4, "icmp", icmp_type=kind, hop_limit=255)
        assert not passes(packet, OPEN)


def test_family_bridge_has_the_same_rules_but_for_routers_which_are_stopped_as_they_come_in() -> None:
    pods = (replace(A, bridge="cni0"), replace(B, bridge="cni0"))
    network = Network(("cni0",), ("vetha", "vethb"), ("eth1",))
    node = Bridge.of(compiled(*pods, options=CLOSED, network=network))
    for kind in (*NEIGHBOURS, *ROUTERS):
        assert node.delivers(icmp6(kind, LINK6 | 9, ALL6), "eth1", "vetha")
        assert not node.delivers(icmp6(kind, LINK6 | 9, ALL6, hops=64), "eth1", "vetha")
        assert node.enters(icmp6(kind, B.link6, ALL6, about=B.link6), "vethb") is (kind in NEIGHBOURS)
    for kind in GROUPS:
        assert node.delivers(icmp6(kind, LINK6 | 9, MDNS6, hops=1), "eth1", "vetha")
        assert not node.delivers(icmp6(kind, OUTSIDE6, MDNS6, hops=1), "eth1", "vetha")
    for kind in REST:
        assert not node.delivers(icmp6(kind, LINK6 | 9, MDNS6), "eth1", "vetha")
