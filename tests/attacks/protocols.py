"""What is inside a packet: flags, fragments, options, headers, protocols, ICMP (NP-125, NP-164, NP-165)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from ipaddress import ip_address

from tests.attacks import frames
from tests.attacks.attack import Attack, Shots
from tests.attacks.bed import LIVE_PORT, Bed, Shot
from tests.lab.packets import ACK, FIN, RST, SYN

PSH, URG, ECE, CWR = 0x08, 0x20, 0x40, 0x80
FLAGS = {
    "SYN ACK": SYN | ACK,
    "ACK": ACK,
    "PSH ACK": PSH | ACK,
    "RST": RST,
    "RST ACK": RST | ACK,
    "FIN": FIN,
    "FIN ACK": FIN | ACK,
    "none": 0,
    "all": 0xFF,
    "FIN PSH URG": FIN | PSH | URG,
    "SYN FIN": SYN | FIN,
    "SYN RST": SYN | RST,
    "SYN URG": SYN | URG,
    "SYN ECE CWR": SYN | ECE | CWR,
}
PROTOCOLS = {
    4: (2, 4, 41, 47, 50, 51, 89, 103, 112, 132, 253, 255),
    6: (4, 41, 47, 50, 89, 103, 112, 132, 253, 255),
}
_BAD_LINK_TYPES = (*range(130, 138), 143)
_LINK_TYPES = (133, 135, 136)
_MLD_TYPES = (130, 131, 132, 143)


def flags(origin: str, target: str) -> Shots:
    def shots(bed: Bed, family: int) -> Iterator[Shot]:
        for label, value in FLAGS.items():
            mark = bed.next_mark()
            ends = bed.address(origin, family), bed.address(target, family)
            built = frames.tcp(*ends, bed.ports(mark), value, frames.payload(mark))
            yield bed.shot(label, origin, mark, [bed.frame(origin, target, built)], target)

    return shots


def fragmented(origin: str, target: str) -> Shots:
    """A datagram in pieces of eight bytes: ports in the first, the mark in the second."""

    def shots(bed: Bed, family: int) -> Iterator[Shot]:
        for label in ("in order", "reversed"):
            mark = bed.next_mark()
            ends = bed.address(origin, family), bed.address(target, family)
            whole = frames.udp(*ends, bed.ports(mark), frames.payload(mark) + bytes(64))
            pieces = [bed.frame(origin, target, p) for p in frames.fragments(whole, 8, mark)]
            yield bed.shot(label, origin, mark, pieces if label == "in order" else pieces[::-1], target)

    return shots


def options(origin: str, target: str) -> Shots:
    """IPv4 options; a source route is at its end."""

    def shots(bed: Bed, family: int) -> Iterator[Shot]:
        node = ip_address(bed.address("n1", 4)).packed
        lists = {
            "loose source route": b"\x83\x07\x08" + node,
            "router alert": b"\x94\x04\x00\x00",
            "record route": b"\x07\x07\x04" + bytes(4),
            "timestamp": b"\x44\x0c\x05\x00" + bytes(8),
            "unknown": b"\x9e\x04\x00\x00",
        }
        for label, option in lists.items():
            mark = bed.next_mark()
            ends = bed.address(origin, 4), bed.address(target, 4)
            built = frames.udp(*ends, bed.ports(mark), frames.payload(mark))
            frame = bed.frame(origin, target, frames.with_options(built, option))
            yield bed.shot(label, origin, mark, [frame], target)

    return shots


def by_node(origin: str, target: str, *, live: bool = False) -> Shots:
    """To the node, with a source route or a segment list that leads on to the target.

    `live`: on a flow between the sender and the node that the node has answered.
    """

    def shots(bed: Bed, family: int) -> Iterator[Shot]:
        node, there = bed.address("n1", family), bed.address(target, family)
        last, first = ip_address(there).packed, ip_address(node).packed
        for label, option in (
            (("loose", b"\x83"), ("strict", b"\x89")) if family == 4 else (("segments", b""),)
        ):
            mark = bed.next_mark()
            ports = bed.ports(mark)[0], LIVE_PORT
            if live:
                bed.talk(origin, "n1", family, ports)
            built = frames.udp(bed.address(origin, family), node, ports, frames.payload(mark))
            if family == 4:
                built = frames.with_options(built, option + b"\x07\x04" + last)
            else:
                built = frames.with_headers(built, (43, bytes([0, 4, 4, 1, 1, 0, 0, 0]) + last + first))
            yield bed.shot(label, origin, mark, [bed.frame(origin, "n1", built)], target)

    return shots


def headers(origin: str, target: str) -> Shots:
    """IPv6 extension headers before a datagram."""

    def shots(bed: Bed, family: int) -> Iterator[Shot]:
        pad = bytes([0, 0, 1, 4, 0, 0, 0, 0])
        segment = ip_address(bed.address(target, 6)).packed
        chains = {
            "hop by hop": [(0, pad)],
            "eight destination options": [(60, pad)] * 8,
            "routing 0": [(43, bytes([0, 2, 0, 0]) + bytes(4) + segment)],
            "routing 2": [(43, bytes([0, 2, 2, 0]) + bytes(4) + segment)],
            "segment routing": [(43, bytes([0, 2, 4, 0, 0, 0, 0, 0]) + segment)],
            "mobility": [(135, bytes([0, 0, 0, 0, 0, 0, 0, 0]))],
            "authentication": [(51, bytes([0, 1]) + bytes(10))],
            "atomic fragment": [(44, bytes(8))],
            "all of them": [
                (0, pad),
                (60, pad),
                (43, bytes([0, 2, 4, 0]) + bytes(4) + segment),
                (44, bytes(8)),
            ],
        }
        ends = bed.address(origin, 6), bed.address(target, 6)
        for label, chain in chains.items():
            mark = bed.next_mark()
            built = frames.udp(*ends, bed.ports(mark), frames.payload(mark))
            built = frames.with_headers(built, *chain)
            yield bed.shot(label, origin, mark, [bed.frame(origin, target, built)], target)
        mark = bed.next_mark()
        built = frames.ip(*ends, 59, frames.payload(mark))
        yield bed.shot("no next header", origin, mark, [bed.frame(origin, target, built)], target)

    return shots


def protocols(origin: str, target: str) -> Shots:
    def shots(bed: Bed, family: int) -> Iterator[Shot]:
        for number in PROTOCOLS[family]:
            mark = bed.next_mark()
            ends = bed.address(origin, family), bed.address(target, family)
            built = frames.ip(*ends, number, bytes(8) + frames.payload(mark))
            yield bed.shot(f"protocol {number}", origin, mark, [bed.frame(origin, target, built)], target)

    return shots


def icmp_types(origin: str, target: str, kinds: Iterable[int], *hops: int) -> Shots:
    """ICMP of these types; what reads like a quoted packet or an option is none."""
    wanted = tuple(kinds)

    def shots(bed: Bed, family: int) -> Iterator[Shot]:
        for kind in wanted:
            for limit in hops:
                mark = bed.next_mark()
                ends = bed.address(origin, family), bed.address(target, family)
                rest = mark.to_bytes(4, "big") + ip_address(ends[1]).packed
                if kind in range(130, 144) and family == 6:
                    # An advertisement is of the sender's own address.
                    about = ip_address(ends[0 if kind == 136 else 1]).packed
                    rest = bytes(4) + about + frames.unknown_option(frames.payload(mark))
                else:
                    rest += bytes(8) + frames.payload(mark)
                built = frames.icmp(*ends, kind, 0, rest, limit)
                frame = bed.frame(origin, target, built)
                yield bed.shot(f"type {kind}, hop limit {limit}", origin, mark, [frame], target)

    return shots


def forged_errors(origin: str) -> Shots:
    """Errors to `v` about its answer to `f`, whose datagram is on its way; the sender names itself truly."""

    def shots(bed: Bed, family: int) -> Iterator[Shot]:
        kinds = ((3, 3, 0), (3, 4, 1280), (11, 0, 0)) if family == 4 else ((1, 4, 0), (2, 0, 1280), (3, 0, 0))
        for kind, code, field in kinds:
            mark = bed.next_mark()
            friend, victim = bed.address("f", family), bed.address("v", family)
            sport, dport = bed.ports(mark)
            live = frames.udp(friend, victim, (sport, dport), b"live")
            bed.volley([bed.shot("live", "f", 0, [bed.frame("f", "v", live)], "v")])
            quoted = frames.udp(victim, friend, (dport, sport), frames.payload(mark))
            rest = struct.pack("!I", field) + quoted
            built = frames.icmp(bed.address(origin, family), victim, kind, code, rest)
            frame = bed.frame(origin, "v", built)
            yield bed.shot(f"type {kind} code {code}", origin, mark, [frame], "v")

    return shots


ATTACKS = (
    Attack("a TCP segment that opens nothing, to an isolated pod", "raw", flags("a", "v")),
    Attack("a TCP segment that opens nothing, of an isolated pod", "raw", flags("e", "outside")),
    Attack("fragments to an isolated pod", "pod", fragmented("a", "v")),
    Attack("fragments of an isolated pod", "pod", fragmented("e", "outside")),
    Attack("options of IPv4 to an isolated pod", "pod", options("a", "v"), "r4 b4"),
    Attack("options of IPv4 of an isolated pod", "pod", options("e", "outside"), "r4 b4"),
    Attack("a source route by the node", "pod", by_node("a", "v"), "r4 b4"),
    Attack(
        "a source route by the node on a live flow",
        "pod",
        by_node("a", "v", live=True),
        "r4 b4",
        admitted="r4 b4",
        because="source-routes",
    ),
    Attack("headers of IPv6 to an isolated pod", "pod", headers("a", "v"), "r6 b6"),
    Attack("headers of IPv6 of an isolated pod", "pod", headers("e", "outside"), "r6 b6"),
    Attack("segments by the node", "raw", by_node("a", "v"), "r6 b6"),
    Attack(
        "segments by the node on a live flow",
        "raw",
        by_node("a", "v", live=True),
        "r6 b6",
        admitted="r6 b6",
        because="source-routes",
    ),
    Attack("other protocols to an isolated pod", "raw", protocols("a", "v")),
    Attack("other protocols of an isolated pod", "raw", protocols("e", "outside")),
    Attack("every type of ICMP to an isolated pod", "raw", icmp_types("a", "v", range(256), 64), "r4 b4"),
    Attack(
        "every type of ICMP of an isolated pod", "raw", icmp_types("e", "outside", range(256), 64), "r4 b4"
    ),
    Attack(
        "every type of ICMPv6 beyond the link",
        "raw",
        icmp_types("e", "outside", range(1, 160), 64, 255),
        "r6 b6",
    ),
    Attack(
        "ICMPv6 that is not the link's to an isolated pod",
        "raw",
        icmp_types("a", "v", [t for t in range(1, 160) if t not in _BAD_LINK_TYPES], 64, 255),
        "r6 b6",
    ),
    Attack(
        "neighbour discovery from beyond the link", "raw", icmp_types("a", "v", range(133, 138), 64), "r6 b6"
    ),
    Attack("MLD to a pod's address", "raw", icmp_types("a", "v", _MLD_TYPES, 64, 255), "r6 b6"),
    Attack("router advertisements and redirects", "raw", icmp_types("e", "s", (134, 137), 64, 255), "r6 b6"),
    Attack(
        "neighbour discovery of the link to a sibling",
        "raw",
        icmp_types("e", "s", _LINK_TYPES, 255),
        "r6 b6",
        admitted="b6",
        because="neighbours",
    ),
    Attack(
        "a forged ICMP error about a live flow",
        "raw",
        forged_errors("a"),
        admitted="r4 r6 b4 b6",
        because="icmp-errors",
    ),
    Attack(
        "a forged ICMP error of an isolated pod",
        "raw",
        forged_errors("e"),
        admitted="r4 r6 b4 b6",
        because="icmp-errors",
    ),
)
