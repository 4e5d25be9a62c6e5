"""Frames of random worlds on random bridges: what family bridge does to them is what the policies mean."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import ip_address

from hypothesis import assume, given
from hypothesis import strategies as st

from policyd.cluster.attachments import Attachments
from policyd.pipeline import Build
from policyd_compiler.ir import Attachment, Endpoint
from policyd_compiler.lower.guard import interface_of
from policyd_compiler.nft.packet import CtStateName, HookName, Packet
from policyd_compiler.options import Options
from policyd_compiler.sim import Simulator
from tests.bridge import ALL4, ALL6, LINK6, MDNS4, MDNS6, Bridge, arp, datagram
from tests.cases.form import allow_all
from tests.oracle import Connection, Manifest, Oracle
from tests.routes import PROTOCOLS, compile_attached
from tests.strategies.attachments import (
    FOREIGN_PORT,
    UNKNOWN_PORT,
    UPLINK,
    attach_randomly,
    attachments,
)
from tests.strategies.chooser import RandomChooser
from tests.strategies.packets import aims
from tests.strategies.worlds import random_world, worlds

NODE = "n1"
CLOSED = Options(pod_interfaces=("cni0", "veth*"))
OPTIONS = st.sampled_from([Options(), CLOSED])
GROUPS = {4: (MDNS4, ALL4, 0xEF00_0001), 6: (MDNS6, ALL6, 0xFF15 << 112 | 7)}
STATES: st.SearchStrategy[CtStateName] = st.sampled_from(
    ["new", "established", "related", "invalid", "untracked"]
)


@dataclass(frozen=True)
class Scene:
    """A world, its node, and how its pods are attached."""

    world: list[Manifest]
    known: Attachments
    build: Build
    options: Options

    def at(self, port: str) -> list[Endpoint]:
        """The endpoints behind a port: several where a pod shares one of its addresses with others."""
        return [e for e in self.build.snapshot.endpoints if port in {a.interface for a in e.attachments}]

    @property
    def bridged(self) -> list[str]:
        """The ports that lead to a pod with an address."""
        return sorted({a.interface for e in self.build.snapshot.endpoints for a in e.attachments if a.bridge})

    @property
    def interfaces(self) -> list[str]:
        """Every interface that there is, and that there may be."""
        own = {a.interface for a in self.known.pods.values()}
        return sorted({*own, *self.known.bridges, UNKNOWN_PORT, UPLINK, FOREIGN_PORT, "ens3", "lo"})

    def addresses(self, interface: str, family: int) -> set[int]:
        """What is bound to a port or link."""
        return self._bound(family, lambda attachment: attachment.interface == interface)

    def seen(self, interface: str, family: int) -> set[int]:
        """What is bound to an interface as the hooks of IP see it: to a bridge all that its ports have."""
        return self._bound(family, lambda attachment: interface_of(attachment) == interface)

    def _bound(self, family: int, at: Callable[[Attachment], bool]) -> set[int]:
        return {
            address
            for endpoint in self.build.snapshot.endpoints
            if any(map(at, endpoint.attachments)) and (address := endpoint.host.address(family)) is not None
        }


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    world = draw(worlds())
    known, options = draw(attachments(world, NODE)), draw(OPTIONS)
    build = compile_attached(world, NODE, known, options)
    assume(build.table.bridge is not None)  # not where no port is known and no interface named
    return Scene(world, known, build, options)


@given(data=st.data())
def test_who_hears_a_group_is_who_lets_its_sender_in(data: st.DataObject) -> None:
    """NP-161: judged for each receiving pod as a packet of the pod behind the sending port, and as sent."""
    scene = data.draw(scenes())
    ports = scene.bridged
    if len(ports) < 2:
        return
    bridge, oracle = Bridge.of(scene.build.table), Oracle(scene.world)
    numbers = st.sampled_from(aims(scene.world).ports)
    for _ in range(12):
        sending, receiving = data.draw(st.permutations(ports))[:2]
        family = data.draw(st.sampled_from([4, 6]))
        senders = sorted(scene.addresses(sending, family))
        if not senders:
            continue
        source = data.draw(st.sampled_from(senders))
        group = data.draw(st.sampled_from(GROUPS[family]))
        protocol: str = data.draw(st.sampled_from(["UDP", "UDP", "TCP", "SCTP", "OTHER"]))
        port = data.draw(numbers) if protocol != "OTHER" else None
        frame = Packet(4 if family == 4 else 6, source, group, PROTOCOLS[protocol], port)
        asked = Connection(_text(family, source), _text(family, group), protocol, port)
        receivers = {key for e in scene.at(receiving) for key in (e.claimants or (e.key,))}
        trace = bridge.at("forward", frame, sending, receiving)
        expected = oracle.node_verdict(asked, NODE) and oracle.admits(receivers, asked)
        assert (trace.verdict == "accept") == expected, "\n".join(
            (f"{asked} from {sending} to {receiving} ({receivers})", *trace.steps)
        )


def _text(family: int, address: int) -> str:
    return str(ip_address(address.to_bytes(4 if family == 4 else 16)))


@st.composite
def frames(draw: st.DrawFn, scene: Scene) -> Packet:
    """Any frame that something may send on a bridge, honest or not."""
    family = draw(st.sampled_from([4, 6]))
    hosts = [h.address(family) for h in scene.build.snapshot.hosts]
    some = [a for a in hosts if a is not None] or [1]
    odd = [0, 169 << 24 | 254 << 16 | 1] if family == 4 else [0, LINK6 | 1, LINK6 | 2]
    ends = st.sampled_from([*some, *odd, *GROUPS[family]])
    mac = draw(st.sampled_from([0, *(a.mac for a in scene.known.pods.values() if a.mac is not None)]))
    if family == 4 and draw(st.booleans()):
        return replace(arp(draw(ends), draw(ends), mac, draw(st.sampled_from([1, 2]))), ether_saddr=mac)
    protocols: st.SearchStrategy[str | int] = st.sampled_from(["udp", "tcp", "sctp", 2, 253, "icmpv6"])
    protocol = draw(protocols)
    if family == 4 and protocol == "icmpv6":
        protocol = "icmp"
    return Packet(
        4 if family == 4 else 6,
        draw(ends),
        draw(ends),
        protocol,
        draw(st.sampled_from([53, 67, 80, 5353])),
        icmp_type=draw(st.sampled_from([1, 128, 130, 133, 134, 135, 136, 137, 143])),
        hop_limit=draw(st.sampled_from([1, 64, 255])),
        target=draw(ends) if protocol == "icmpv6" else None,
        ether_saddr=mac,
        network=draw(st.sampled_from([None, None, None, 0x8100, 0x88CC])),
        vlan=draw(st.sampled_from([None, None, None, 0, 7])),
    )


@given(data=st.data())
def test_policies_that_allow_everything_change_no_frames_fate(data: st.DataObject) -> None:
    """NP-165, on the link: with the same attachments, from any port to any other."""
    drawn = data.draw(scenes())
    world = [item for item in drawn.world if item["kind"] != "NetworkPolicy"]
    namespaces = {item["metadata"]["namespace"] for item in world if item["kind"] == "Pod"}
    tables = [
        compile_attached(objects, NODE, drawn.known, drawn.options).table
        for objects in (world, [*world, *map(allow_all, sorted(namespaces))])
    ]
    bridges = [Bridge.of(table) for table in tables]
    routers = [Simulator(table) for table in tables]
    hooks: st.SearchStrategy[HookName] = st.sampled_from(["prerouting", "forward"])
    for _ in range(15):
        frame, hook = data.draw(frames(drawn)), data.draw(hooks)
        port, out = data.draw(st.permutations(drawn.interfaces))[:2]
        free, governed = (bridge.at(hook, frame, port, out) for bridge in bridges)
        assert governed.verdict == free.verdict, "\n".join((f"{frame} from {port} to {out}", *governed.steps))
        packet = replace(frame, hook="forward", iifname=port, oifname=out, ct_state=data.draw(STATES))
        free, governed = (router.evaluate(packet) for router in routers)
        assert governed.verdict == free.verdict, "\n".join((f"{packet}", *governed.steps))


@given(data=st.data())
def test_what_a_bound_port_sends_is_its_pods(data: st.DataObject) -> None:
    """NP-160, NP-162: no source but its own is taken, in IPv4, IPv6 and ARP, and nothing else is."""
    scene = data.draw(scenes())
    bridge = Bridge.of(scene.build.table)
    if not scene.bridged:
        return
    for _ in range(20):
        frame, port = data.draw(frames(scene)), data.draw(st.sampled_from(scene.bridged))
        if not bridge.enters(frame, port):
            continue
        assert frame.vlan is None
        assert frame.arp is not None or frame.network is None
        own = {family: scene.addresses(port, family) for family in (4, 6)}
        macs = {a.mac: a.interface for a in scene.known.pods.values() if a.mac is not None and a.bridge}
        if frame.ether_saddr in macs:
            assert macs[frame.ether_saddr] == port or macs[frame.ether_saddr] not in scene.bridged
        if frame.arp is not None:
            assert frame.arp.saddr in own[4] | {0}, frame
        elif frame.family == 4:
            asks = (frame.daddr, frame.protocol, frame.dport) == (ALL4, "udp", 67)
            assert frame.saddr in own[4] or (frame.saddr == 0 and asks), frame
        else:
            silent = frame.protocol == "icmpv6" and frame.icmp_type in (131, 133, 135, 143)
            on_link = frame.saddr >> 118 == LINK6 >> 118
            assert frame.saddr in own[6] or on_link or (frame.saddr == 0 and silent), frame
            if frame.protocol == "icmpv6":
                assert frame.icmp_type not in (134, 137), frame
            if frame.protocol == "icmpv6" and frame.icmp_type == 136:
                assert frame.target is not None
                assert frame.target in own[6] or frame.target >> 120 == 0xFE, frame


@given(data=st.data())
def test_a_bound_address_comes_from_its_interface_only(data: st.DataObject) -> None:
    """NP-162, in family inet: forwarded or to the node, whatever connection tracking says of it."""
    scene = data.draw(scenes())
    simulator = Simulator(scene.build.table)
    bound = {
        family: {
            a
            for e in scene.build.snapshot.endpoints
            if e.attachments
            if (a := e.host.address(family)) is not None
        }
        for family in (4, 6)
    }
    hooks: st.SearchStrategy[HookName] = st.sampled_from(["forward", "input"])
    for _ in range(20):
        family = data.draw(st.sampled_from([4, 6]))
        if not bound[family]:
            continue
        frame = data.draw(frames(scene))
        frame = (
            frame
            if frame.family == family and frame.arp is None
            else Packet(4 if family == 4 else 6, 0, min(bound[family]), "udp", 53)
        )
        source, interface = (
            data.draw(st.sampled_from(sorted(bound[family]))),
            data.draw(st.sampled_from(scene.interfaces)),
        )
        packet = replace(
            frame,
            saddr=source,
            network=None,
            vlan=None,
            hook=data.draw(hooks),
            ct_state=data.draw(STATES),
            iifname=interface,
            oifname=data.draw(st.sampled_from(scene.interfaces)),
        )
        trace = simulator.evaluate(packet)
        if trace.verdict == "accept":
            assert source in scene.seen(interface, family), "\n".join((f"{packet}", *trace.steps))


def test_random_bridges_have_pods_that_hear_and_pods_that_do_not() -> None:
    """Else the laws above would hold for want of anybody to judge."""
    found: Counter[tuple[bool, bool]] = Counter()
    for seed in range(100):
        rng = random.Random(seed)
        world = random_world(rng)
        build = compile_attached(world, NODE, attach_randomly(RandomChooser(rng), world, NODE), CLOSED)
        bridge = Bridge.of(build.table)
        bound = [(e, a.interface) for e in build.snapshot.endpoints for a in e.attachments if a.bridge]
        for sender, port in bound:
            for receiver, out in bound:
                if port != out and sender.host.v4 is not None:
                    heard = bridge.delivers(datagram(sender.host.v4, MDNS4, 80), port, out)
                    found[receiver.ingress is not None, heard] += 1
    assert min(found[True, True], found[True, False], found[False, True]) > 5, found
