"""Multicast and broadcast into isolated pods and out of them (NP-161, NP-128): siblings on one bridge."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from functools import partial

from tests.attacks import frames
from tests.attacks.attack import BRIDGED, Attack, Honest, Shots
from tests.attacks.bed import Bed, Shot
from tests.lab.packets import checksum

GROUPS = {
    4: ("224.0.0.1", "224.0.0.251", "239.1.2.3", "255.255.255.255"),
    6: ("ff02::1", "ff02::fb", "ff05::1:3"),
}

_IGMP = bytes.fromhex("2200000000000001") + bytes.fromhex("04000000") + bytes.fromhex("ef010203")


def say(bed: Bed, origin: str, group: str, source: str, mark: int) -> None:
    """What any program may: an ordinary socket sends a datagram to everybody."""
    family = socket.AF_INET6 if ":" in group else socket.AF_INET
    with bed.place(origin).entered():
        speaker = socket.socket(family, socket.SOCK_DGRAM)
        index = socket.if_nametoindex("eth0")
    with speaker:
        if family == socket.AF_INET6:
            speaker.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            speaker.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 8)
            # From its global address, or with none given from the link-local one.
            speaker.bind((source, bed.ports(mark)[0], 0, index if source.startswith("fe80") else 0))
            speaker.sendto(frames.payload(mark), (group, 53, 0, index))
        else:
            speaker.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            speaker.bind((source, bed.ports(mark)[0]))
            speaker.sendto(frames.payload(mark), (group, 53))


def to_everybody(origin: str, *ears: str, link_local: bool = False) -> Shots:
    """An ordinary socket speaks to each group."""

    def shots(bed: Bed, family: int) -> Iterator[Shot]:
        source = bed.link_local(origin) if link_local else bed.address(origin, family)
        for group in GROUPS[family]:
            mark = bed.next_mark()
            yield Shot(f"{group}", mark, ears, partial(say, bed, origin, group, source, mark))

    return shots


def framed(origin: str, claim: str, group: str, mac: str, *ears: str) -> Shots:
    """A datagram with destinations that do not go together.

    `group` is `every` group or whose address; `mac` is `group`, `broadcast`, or whose.
    """

    def shots(bed: Bed, family: int) -> Iterator[Shot]:
        targets = GROUPS[family] if group == "every" else (bed.address(group, family),)
        for target in targets:
            mark = bed.next_mark()
            built = frames.udp(bed.address(claim, family), target, bed.ports(mark), frames.payload(mark))
            if mac == "broadcast" or (mac == "group" and target == "255.255.255.255"):
                destination = frames.BROADCAST
            elif mac == "group":
                destination = frames.group_mac(target if group == "every" else GROUPS[family][0])
            else:
                destination = bed.macs[mac]
            frame = frames.ether(destination, bed.macs[origin], frames.kind_of(built), built)
            yield bed.shot(target, origin, mark, [frame], *ears)

    return shots


def subnet_broadcast(origin: str, *ears: str) -> Shots:
    """What a pod with an address in a /24, as Flannel gives, sends to the last address of that."""

    def shots(bed: Bed, family: int) -> Iterator[Shot]:
        mark = bed.next_mark()
        ends = bed.address(origin, 4), bed.address("subnet", 4)
        built = frames.udp(*ends, bed.ports(mark), frames.payload(mark))
        frame = frames.ether(frames.BROADCAST, bed.macs[origin], frames.IPV4, built)
        yield bed.shot("subnet", origin, mark, [frame], *ears)

    return shots


def dhcp(origin: str, *ears: str) -> Shots:
    """A pod without an address asks for one."""

    def shots(bed: Bed, family: int) -> Iterator[Shot]:
        mark = bed.next_mark()
        built = frames.udp("0.0.0.0", "255.255.255.255", (68, 67), frames.payload(mark))
        frame = frames.ether(frames.BROADCAST, bed.macs[origin], frames.IPV4, built)
        yield bed.shot("discover", origin, mark, [frame], *ears)

    return shots


def igmp(origin: str, *ears: str) -> Shots:
    """A report of a group, with a router alert (RFC 3376)."""

    def shots(bed: Bed, family: int) -> Iterator[Shot]:
        mark = bed.next_mark()
        body = _IGMP + frames.payload(mark)
        body = body[:2] + checksum(body).to_bytes(2, "big") + body[4:]
        built = frames.with_options(
            frames.ip(bed.address(origin, 4), "224.0.0.22", 2, body, 1), b"\x94\x04\0\0"
        )
        frame = frames.ether(frames.group_mac("224.0.0.22"), bed.macs[origin], frames.IPV4, built)
        yield bed.shot("report", origin, mark, [frame], *ears)

    return shots


ATTACKS = (
    Attack("multicast of a pod to an isolated sibling", "pod", to_everybody("a", "v"), BRIDGED),
    Attack("multicast from a link-local address", "pod", to_everybody("a", "v", link_local=True), "b6"),
    Attack("multicast of an isolated pod", "pod", to_everybody("e", "s", "v", "a"), BRIDGED),
    Attack(
        "multicast of an isolated pod from a link-local address",
        "pod",
        to_everybody("e", "s", "v", link_local=True),
        "b6",
    ),
    Attack("broadcast of the subnet to an isolated sibling", "pod", subnet_broadcast("a", "v"), "b4"),
    Attack("broadcast of the subnet of an isolated pod", "pod", subnet_broadcast("e", "s", "v"), "b4"),
    Attack("multicast as a friend", "raw", framed("a", "f", "every", "group", "v"), BRIDGED),
    Attack("multicast in a frame for one pod", "raw", framed("a", "a", "every", "v", "v"), BRIDGED),
    Attack("multicast in a broadcast frame", "raw", framed("a", "a", "every", "broadcast", "v"), BRIDGED),
    Attack("a pod's address in a broadcast frame", "raw", framed("a", "a", "v", "broadcast", "v"), BRIDGED),
    Attack("a pod's address in a multicast frame", "raw", framed("a", "a", "v", "group", "v"), BRIDGED),
    Attack(
        "a free pod's address in a frame for an isolated one", "raw", framed("a", "a", "s", "v", "v"), BRIDGED
    ),
    Attack(
        "a pod's address in a broadcast frame, isolated",
        "raw",
        framed("e", "e", "s", "broadcast", "s"),
        BRIDGED,
    ),
)

HONEST = (
    Honest("multicast between pods without policies", to_everybody("a", "s"), BRIDGED),
    Honest(
        "multicast between link-local addresses without policies",
        to_everybody("a", "s", link_local=True),
        "b6",
    ),
    Honest("multicast of a friend", to_everybody("f", "v"), BRIDGED),
    Honest("broadcast of the subnet between pods without policies", subnet_broadcast("a", "s"), "b4"),
)
