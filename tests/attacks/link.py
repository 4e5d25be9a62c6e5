"""Frames beside IP (NP-160), and who is who on the link (NP-162, NP-164): siblings on one bridge."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from tests.attacks import frames
from tests.attacks.attack import BRIDGED, Attack, Honest, Shots
from tests.attacks.bed import Bed, Shot
from tests.attacks.groups import dhcp, igmp
from tests.attacks.sources import packet

_VLAN, _QINQ, _OLD_QINQ = frames.VLAN, frames.QINQ, 0x9100
TAGS = {
    "802.1Q, VID 0": ((_VLAN, 0),),
    "802.1ad, VID 0": ((_QINQ, 0),),
    "802.1Q, priority 5": ((_VLAN, 5 << 13),),
    "802.1Q, VID 7": ((_VLAN, 7),),
    "802.1ad, VID 7": ((_QINQ, 7),),
    "802.1Q twice": ((_VLAN, 0), (_VLAN, 0)),
    "802.1ad and 802.1Q": ((_QINQ, 0), (_VLAN, 0)),
    "802.1ad twice": ((_QINQ, 0), (_QINQ, 0)),
    "0x9100": ((_OLD_QINQ, 0),),
}
#: Those that a receiver without VLANs takes for untagged.
TAKEN = ("802.1Q, VID 0", "802.1ad, VID 0", "802.1Q, priority 5", "802.1Q twice", "802.1ad and 802.1Q")
#: Ethertypes; below 1536 it is the length of an LLC frame.
TYPES = {
    "LLC": 24,
    "experimental": 0x88B5,
    "LLDP": 0x88CC,
    "MPLS": 0x8847,
    "PPPoE discovery": 0x8863,
    "PPPoE session": 0x8864,
    "MACsec": 0x88E5,
    "EAPOL": 0x888E,
    "loopback": 0x9000,
    "RARP": 0x8035,
}
ALL_NODES, ALL_ROUTERS, REPORTS = "ff02::1", "ff02::2", "ff02::16"
#: Flags of an advertisement: solicited, override.
SOLICITED, OVERRIDE = 0x40, 0x20
_IEEE_802 = 6
_PAD = bytes([0, 0, 1, 4, 0, 0, 0, 0])
_ROUTER_ALERT = bytes([0, 0, 5, 2, 0, 0, 1, 0])


def tags(origin: str, target: str, *labels: str) -> Shots:
    """A datagram in a frame with tags."""

    def shots(bed: Bed, family: int) -> Iterator[Shot]:
        for label in labels:
            mark = bed.next_mark()
            built = packet(bed, "udp", bed.address(origin, family), bed.address(target, family), mark)
            frame = frames.tagged(bed.frame(origin, target, built), *TAGS[label])
            yield bed.shot(label, origin, mark, [frame], target)

    return shots


def types(origin: str, *ears: str, broadcast: bool = False) -> Shots:
    def shots(bed: Bed, family: int) -> Iterator[Shot]:
        destination = frames.BROADCAST if broadcast else bed.macs[ears[0]]
        for label, number in TYPES.items():
            mark = bed.next_mark()
            body = frames.payload(mark)
            if label == "PPPoE session":
                inner = packet(bed, "udp", bed.address(origin, 4), bed.address(ears[0], 4), mark)
                body = struct.pack("!BBHHH", 0x11, 0, 1, len(inner) + 2, 0x0021) + inner
            frame = frames.ether(destination, bed.macs[origin], number, body.ljust(number % 1536 % 32, b"\0"))
            yield bed.shot(label, origin, mark, [frame], *ears)

    return shots


def arp(origin: str, *ears: str, claim: str = "", mac: str = "") -> Shots:
    """ARP in which `origin` says that `claim` has its MAC, or that of `mac`: asked, answered, unasked."""

    def shots(bed: Bed, family: int) -> Iterator[Shot]:
        sender = bed.macs[mac or origin], bed.address(claim or origin, 4)
        listener = ears[0]
        asked = bytes(6), bed.address(listener, 4)
        told = bed.macs[listener], bed.address(listener, 4)
        itself = bytes(6), sender[1]
        for label, operation, target, to in (
            ("request", 1, asked, frames.BROADCAST),
            ("request to one", 1, asked, bed.macs[listener]),
            ("answer", 2, told, bed.macs[listener]),
            ("announcement", 1, itself, frames.BROADCAST),
            ("announced answer", 2, itself, frames.BROADCAST),
        ):
            mark = bed.next_mark()
            body = frames.arp(operation, sender, target, frames.payload(mark))
            yield bed.shot(label, origin, mark, [frames.ether(to, bed.macs[origin], frames.ARP, body)], *ears)
        if claim or mac:
            # Who is on Ethernet takes ARP of any IEEE 802 network, too.
            mark = bed.next_mark()
            body = frames.arp(2, sender, told, frames.payload(mark), _IEEE_802)
            frame = frames.ether(bed.macs[listener], bed.macs[origin], frames.ARP, body)
            yield bed.shot("answer of IEEE 802", origin, mark, [frame], *ears)

    return shots


def arp_probe(origin: str, *ears: str) -> Shots:
    """Whether somebody has my address: asked by nobody (RFC 5227)."""

    def shots(bed: Bed, family: int) -> Iterator[Shot]:
        mark = bed.next_mark()
        ends = (bed.macs[origin], "0.0.0.0"), (bytes(6), bed.address(origin, 4))
        body = frames.arp(1, *ends, frames.payload(mark))
        yield bed.shot(
            "probe", origin, mark, [frames.ether(frames.BROADCAST, bed.macs[origin], frames.ARP, body)], *ears
        )

    return shots


def icmpv6(
    origin: str,
    source: Callable[[Bed], str],
    target: Callable[[Bed], str],
    kind: int,
    rest: Callable[[Bed, bytes], bytes],
    *ears: str,
    hops: int = 255,
    hidden: bool = False,
) -> Shots:
    """ICMPv6 of the link to an address, or to a group by the group's MAC; `hidden` behind other headers."""

    def shots(bed: Bed, family: int) -> Iterator[Shot]:
        mark = bed.next_mark()
        there = target(bed)
        built = frames.icmp(source(bed), there, kind, 0, rest(bed, frames.payload(mark)), hops)
        if kind == 143:  # reports come with a router alert (RFC 3810)
            built = frames.with_headers(built, (0, _ROUTER_ALERT))
        if hidden:
            built = frames.with_headers(built, (0, _PAD), (60, _PAD))
        if there.startswith("ff"):
            frame = frames.ether(frames.group_mac(there), bed.macs[origin], frames.IPV6, built)
        else:
            frame = bed.frame(origin, ears[0], built)
        yield bed.shot(f"{kind} to {there}", origin, mark, [frame], *ears)

    return shots


def together(*parts: Shots) -> Shots:
    def shots(bed: Bed, family: int) -> Iterator[Shot]:
        for part in parts:
            yield from part(bed, family)

    return shots


def of(name: str) -> Callable[[Bed], str]:
    """The IPv6 address of somebody."""
    return lambda bed: bed.address(name, 6)


def local(name: str) -> Callable[[Bed], str]:
    return lambda bed: bed.link_local(name)


def solicited_node(name: str) -> Callable[[Bed], str]:
    """The group in which one hears who asks for one's address."""
    return lambda bed: f"ff02::1:ff00:{int(bed.address(name, 6).rpartition(':')[2], 16):x}"


def neighbour(
    kind: int, target: Callable[[Bed], str], mac: str, flags: int = 0
) -> Callable[[Bed, bytes], bytes]:
    return lambda bed, mark: frames.neighbour(kind, target(bed), bed.macs.get(mac), mark, flags)


def report(bed: Bed, mark: bytes) -> bytes:
    """A report of one group, with the mark behind it."""
    return struct.pack("!HHBBH", 0, 1, 4, 0, 0) + bytes.fromhex("ff020000000000000000000000004242") + mark


def claims(origin: str, claim: str, *ears: str) -> Shots:
    """All ways to say that the address `claim` is behind the MAC of `origin`."""
    taken = neighbour(136, of(claim), origin, OVERRIDE)
    asking = neighbour(135, of(ears[0]), origin)
    return together(
        icmpv6(origin, of(claim), of(ears[0]), 136, taken, *ears),
        icmpv6(origin, of(origin), of(ears[0]), 136, taken, *ears),
        icmpv6(origin, local(origin), of(ears[0]), 136, taken, *ears),
        icmpv6(origin, of(origin), lambda _: ALL_NODES, 136, taken, *ears),
        icmpv6(origin, of(origin), of(ears[0]), 136, taken, *ears, hidden=True),
        icmpv6(origin, of(claim), of(ears[0]), 135, asking, *ears, hidden=True),
        icmpv6(origin, of(claim), of(ears[0]), 135, asking, *ears),
        icmpv6(origin, of(claim), solicited_node(ears[0]), 135, asking, *ears),
    )


def routers(origin: str, ear: str) -> Shots:
    def rest(bed: Bed, mark: bytes) -> bytes:
        return frames.advertisement(mark)

    def away(bed: Bed, mark: bytes) -> bytes:
        return frames.redirect(bed.link_local(origin), bed.address("outside", 6), mark)

    return together(
        icmpv6(origin, local(origin), lambda _: ALL_NODES, 134, rest, ear),
        icmpv6(origin, local(origin), of(ear), 134, rest, ear),
        icmpv6(origin, local(origin), lambda _: ALL_NODES, 134, rest, ear, hidden=True),
        icmpv6(origin, of(origin), of(ear), 134, rest, ear),
        icmpv6(origin, local(origin), of(ear), 137, away, ear),
        icmpv6(origin, of(origin), of(ear), 137, away, ear),
    )


def after(trick: Callable[[Bed, int], bytes], label: str) -> Shots:
    """Whether `a` gets what `f` sends to `v`, after a frame of `a`."""

    def shots(bed: Bed, family: int) -> Iterator[Shot]:
        mark = bed.next_mark()

        def send() -> None:
            ports = bed.ports(mark)
            bed.talk("f", "v", family, ports)  # so that there is something to take over
            bed.send("a", (trick(bed, family),))
            bed.talk("f", "v", family, ports, frames.payload(mark))
            # Everybody is found again where he is.
            bed.talk("v", "f", family, ports)

        yield Shot(label, mark, ("a",), send)

    return shots


def stolen_address(bed: Bed, family: int) -> bytes:
    """Word to `f` that nobody asked for: the address of `v` is at the MAC of `a`."""
    own, listener = bed.macs["a"], bed.macs["f"]
    victim, friend = bed.address("v", family), bed.address("f", family)
    if family == 4:
        return frames.ether(listener, own, frames.ARP, frames.arp(1, (own, victim), (bytes(6), victim), b""))
    rest = frames.neighbour(136, victim, own, b"", OVERRIDE | SOLICITED)
    return frames.ether(listener, own, frames.IPV6, frames.icmp(victim, friend, 136, 0, rest, 255))


def stolen_mac(bed: Bed, family: int) -> bytes:
    """A frame of `a` with the MAC of `v` as its source, and everything else its own."""
    built = frames.udp(bed.address("a", family), bed.address("s", family), (9, 9), b"")
    return frames.ether(bed.macs["s"], bed.macs["v"], frames.kind_of(built), built)


ATTACKS = (
    Attack("the address of a sibling taken over", "raw", after(stolen_address, "answer"), BRIDGED),
    Attack("the MAC of a sibling taken over", "raw", after(stolen_mac, "frame"), BRIDGED),
    Attack("tagged frames to an isolated sibling", "raw", tags("a", "v", *TAGS), BRIDGED),
    Attack("tagged frames of an isolated pod", "raw", tags("e", "s", *TAGS), BRIDGED),
    Attack("tagged frames by the gateway", "raw", tags("e", "outside", *TAKEN)),
    Attack("frames that are not IP to an isolated sibling", "raw", types("a", "v"), BRIDGED),
    Attack("frames that are not IP of an isolated pod", "raw", types("e", "s", "v"), BRIDGED),
    Attack("frames that are not IP to everybody", "raw", types("e", "s", "v", broadcast=True), BRIDGED),
    Attack("ARP for an isolated sibling", "raw", arp("a", "f", "s", claim="v"), "b4"),
    Attack("ARP for the gateway", "raw", arp("a", "f", "s", claim="bridge1"), "b4"),
    Attack("ARP to the node for a sibling", "raw", arp("a", "bridge1", claim="v"), "b4"),
    Attack("ARP that gives away another's MAC", "raw", arp("a", "f", "s", mac="v"), "b4"),
    Attack("neighbour advertisements for a sibling", "raw", claims("a", "v", "f"), "b6"),
    Attack("neighbour advertisements for the gateway", "raw", claims("a", "bridge1", "f"), "b6"),
    Attack("neighbour advertisements to the node for a sibling", "raw", claims("a", "v", "bridge1"), "b6"),
    Attack("rogue routers", "raw", routers("a", "v"), "b6"),
    Attack("rogue routers, isolated", "raw", routers("e", "s"), "b6"),
    Attack(
        "neighbour advertisements for link-local addresses of others",
        "raw",
        together(
            icmpv6("a", of("a"), of("f"), 136, neighbour(136, local("s"), "a", OVERRIDE), "f"),
            icmpv6("a", local("s"), of("f"), 136, neighbour(136, local("s"), "a", OVERRIDE), "f"),
            icmpv6("a", local("a"), of("f"), 136, neighbour(136, local("bridge1"), "a", OVERRIDE), "f"),
        ),
        "b6",
        admitted="b6",
        because="link-local-claims",
    ),
    Attack(
        "words in MLD",
        "pod",
        together(
            icmpv6("a", local("a"), lambda _: REPORTS, 143, report, "v", hops=1),
            icmpv6("e", local("e"), lambda _: REPORTS, 143, report, "s", hops=1),
        ),
        "b6",
        admitted="b6",
        because="neighbours",
    ),
    Attack(
        "words in IGMP",
        "raw",
        igmp("a", "v"),
        "b4",
        admitted="b4",
        because="neighbours",
    ),
    Attack("words in IGMP of an isolated pod", "raw", igmp("e", "s"), "b4"),
    Attack("words in DHCP to an isolated sibling", "raw", dhcp("a", "v"), "b4"),
    Attack("words in DHCP", "raw", dhcp("e", "s"), "b4"),
    Attack(
        "words in ARP of its own address",
        "raw",
        arp("e", "s"),
        "b4",
        admitted="b4",
        because="neighbours",
    ),
)

HONEST = (
    Honest("ARP of its own address", together(arp("a", "s"), arp("f", "v"), arp("e", "bridge1")), "b4"),
    Honest("ARP probes", together(arp_probe("a", "s"), arp_probe("e", "bridge1")), "b4"),
    Honest(
        "solicitations of a neighbour",
        together(
            icmpv6("a", of("a"), solicited_node("s"), 135, neighbour(135, of("s"), "a"), "s"),
            icmpv6("a", local("a"), of("s"), 135, neighbour(135, of("s"), "a"), "s"),
            icmpv6("f", of("f"), of("v"), 135, neighbour(135, of("v"), "f"), "v"),
            icmpv6("e", of("e"), of("bridge1"), 135, neighbour(135, of("bridge1"), "e"), "bridge1"),
        ),
        "b6",
    ),
    Honest(
        "advertisements of its own address",
        together(
            icmpv6("a", of("a"), of("s"), 136, neighbour(136, of("a"), "a", SOLICITED | OVERRIDE), "s"),
            icmpv6("v", of("v"), of("f"), 136, neighbour(136, of("v"), "v", SOLICITED | OVERRIDE), "f"),
            icmpv6("a", local("a"), of("s"), 136, neighbour(136, local("a"), "a", OVERRIDE), "s"),
            icmpv6("a", of("a"), lambda _: ALL_NODES, 136, neighbour(136, of("a"), "a", OVERRIDE), "s"),
        ),
        "b6",
    ),
    Honest(
        "duplicate address detection",
        together(
            icmpv6("a", lambda _: "::", solicited_node("a"), 135, neighbour(135, of("a"), ""), "s"),
            icmpv6("e", lambda _: "::", solicited_node("e"), 135, neighbour(135, of("e"), ""), "bridge1"),
        ),
        "b6",
    ),
    Honest(
        "router solicitations",
        together(
            icmpv6(
                "a",
                lambda _: "::",
                lambda _: ALL_ROUTERS,
                133,
                lambda _, mark: bytes(4) + frames.unknown_option(mark),
                "bridge1",
            ),
            icmpv6(
                "e",
                local("e"),
                lambda _: ALL_ROUTERS,
                133,
                lambda _, mark: bytes(4) + frames.unknown_option(mark),
                "bridge1",
            ),
        ),
        "b6",
    ),
    Honest(
        "reports of MLD",
        together(
            icmpv6("a", local("a"), lambda _: REPORTS, 143, report, "bridge1", "s", hops=1),
            icmpv6("e", local("e"), lambda _: REPORTS, 143, report, "bridge1", hops=1),
            icmpv6("a", lambda _: "::", lambda _: REPORTS, 143, report, "bridge1", hops=1),
        ),
        "b6",
    ),
)
