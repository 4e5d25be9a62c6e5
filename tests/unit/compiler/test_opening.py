"""What opens no connection, and a pod that reaches itself: also for pods isolated in one direction alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policyd_compiler.driver import compile_snapshot
from policyd_compiler.ir import (
    ANYTHING,
    Action,
    Direction,
    Endpoint,
    Host,
    Isolation,
    Origin,
    Rule,
    Snapshot,
    Stage,
    Tier,
)
from policyd_compiler.options import Options
from policyd_compiler.ports import PortSet
from policyd_compiler.sim import Packet, Simulator
from tests.strategies.snapshots import V4, V6

HOST = Host(V4, V6)
ORIGINS = (Origin("NetworkPolicy", "ns", "p"),)
NOTHING = (Stage(Tier.NETWORK_POLICY, (), Action.DENY),)
INGRESS, EGRESS = Isolation("ingress", ORIGINS, NOTHING), Isolation("egress", ORIGINS, NOTHING)
OUTSIDE = 203 << 24 | 113 << 8 | 7
LINK_LOCAL, ROUTERS = 0xFE80 << 112 | 1, 0xFF02 << 112 | 0x16


def verdict(packet: Packet, ingress: Isolation | None, egress: Isolation | None) -> str:
    """What a node does to a packet whose one pod is isolated so."""
    snapshot = Snapshot("n1", (HOST,), (Endpoint("ns/a", HOST, ingress, egress),))
    options = Options(pod_interfaces=("veth*",))
    return Simulator(compile_snapshot(snapshot, options).table).evaluate(packet).verdict


@pytest.mark.parametrize("kind", [130, 131, 132, 143])
def test_listeners_of_a_closed_pod_are_known(kind: int) -> None:
    """NP-083: from its link-local address, which is no known pod's; anything else from there is dropped."""
    report = Packet(
        6,
        LINK_LOCAL,
        ROUTERS,
        "icmpv6",
        iifname="veth0",
        oifname="veth1",
        ct_state="untracked",
        icmp_type=kind,
    )
    assert verdict(report, INGRESS, EGRESS) == "accept"
    assert verdict(replace(report, icmp_type=129), INGRESS, EGRESS) == "drop"


@pytest.mark.parametrize("isolated", [(INGRESS, None), (None, EGRESS), (INGRESS, EGRESS)])
@pytest.mark.parametrize("way", ["to", "from"])
def test_a_packet_from_the_middle_of_no_connection_is_dropped(
    isolated: tuple[Isolation | None, Isolation | None], way: str
) -> None:
    """NP-122, NP-124: whichever direction is isolated; it is denied as it goes, or as an answer."""
    source, destination = (OUTSIDE, V4) if way == "to" else (V4, OUTSIDE)
    devices = ("eth0", "veth0") if way == "to" else ("veth0", "eth0")
    stray = Packet(4, source, destination, "tcp", 80, iifname=devices[0], oifname=devices[1], tcp_syn=False)
    assert verdict(stray, *isolated) == "drop"
    assert verdict(stray, None, None) == "accept"


@pytest.mark.parametrize("isolated", [(INGRESS, None), (None, EGRESS), (INGRESS, EGRESS)])
def test_a_pod_reaches_itself_through_its_service(
    isolated: tuple[Isolation | None, Isolation | None],
) -> None:
    """NP-096."""
    hairpin = Packet(4, V4, V4, "tcp", 80, iifname="veth0", oifname="veth0", dnat=True)
    assert verdict(hairpin, *isolated) == "accept"


@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_a_stray_answers_from_the_port_that_was_asked_for(direction: Direction) -> None:
    """NP-165: by the rules for what asked, with both ends and ports exchanged."""
    rules = (Rule(Action.ACCEPT, ANYTHING, PortSet(tcp=((80, 80),)), ORIGINS),)
    isolated = Isolation(direction, ORIGINS, (Stage(Tier.NETWORK_POLICY, rules, Action.DENY),))
    pair = (isolated, None) if direction == "ingress" else (None, isolated)
    # What the pod answers, or what answers it.
    ends = (V4, OUTSIDE) if direction == "ingress" else (OUTSIDE, V4)
    for ports, expected in (((80, 5000), "accept"), ((81, 5000), "drop"), ((5000, 80), "drop")):
        devices = ("veth0", "eth0") if direction == "ingress" else ("eth0", "veth0")
        middle = Packet(4, *ends, "tcp", ports[1], sport=ports[0], tcp_syn=False)
        middle = replace(middle, iifname=devices[0], oifname=devices[1])
        for stray in (middle, replace(middle, ct_state="invalid", tcp_syn=True)):
            assert verdict(stray, *pair) == expected
