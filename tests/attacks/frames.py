"""Frames and packets that no honest pod sends, as bytes. Pure.

Addresses are text, MACs are bytes. Every payload holds a mark, which is found wherever the payload arrives,
whatever was put around it.
"""

from __future__ import annotations

import struct
from ipaddress import ip_address

from tests.lab.packets import (
    ICMP,
    ICMPV6,
    SCTP,
    checksum,
    crc32c,
    icmp_message,
    ip_packet,
    tcp_segment,
    udp_datagram,
)

MAGIC = b"plcy"
IPV4, ARP, IPV6, VLAN, QINQ = 0x0800, 0x0806, 0x86DD, 0x8100, 0x88A8
BROADCAST = b"\xff" * 6
#: Below this an Ethernet frame is padded.
_LEAST_FRAME = 60
_SOURCE_LL, _TARGET_LL, _UNKNOWN_OPTION = 1, 2, 200


def payload(mark: int) -> bytes:
    return MAGIC + mark.to_bytes(4, "big")


def read_payload(data: bytes) -> int | None:
    """The mark in a frame or packet, whatever surrounds it."""
    place = data.find(MAGIC)
    found = data[place + 4 : place + 8]
    return int.from_bytes(found, "big") if place >= 0 and len(found) == 4 else None


def ether(destination: bytes, source: bytes, kind: int, body: bytes) -> bytes:
    return (destination + source + struct.pack("!H", kind) + body).ljust(_LEAST_FRAME, b"\0")


def kind_of(packet: bytes) -> int:
    """The ethertype of an IP packet."""
    return IPV4 if packet[0] >> 4 == 4 else IPV6


def tagged(frame: bytes, *tags: tuple[int, int]) -> bytes:
    """A frame with tags behind its addresses: (ethertype, priority and VID), outermost first."""
    return frame[:12] + b"".join(struct.pack("!HH", *tag) for tag in tags) + frame[12:]


def group_mac(group: str) -> bytes:
    """The MAC of a multicast group."""
    packed = ip_address(group).packed
    if len(packed) == 16:
        return b"\x33\x33" + packed[-4:]
    return b"\x01\x00\x5e" + bytes([packed[1] & 0x7F]) + packed[2:]


def ends(source: str, destination: str) -> tuple[bytes, bytes]:
    return ip_address(source).packed, ip_address(destination).packed


def ip(source: str, destination: str, protocol: int, body: bytes, hops: int = 64) -> bytes:
    return ip_packet(*ends(source, destination), protocol, body, hops=hops)


def udp(source: str, destination: str, ports: tuple[int, int], body: bytes, hops: int = 64) -> bytes:
    pair = b"".join(ends(source, destination))
    return ip(source, destination, 17, udp_datagram(pair, ports, body), hops)


def tcp(source: str, destination: str, ports: tuple[int, int], flags: int, body: bytes) -> bytes:
    pair = b"".join(ends(source, destination))
    sequence = int.from_bytes(body[-4:], "big") << 4
    acknowledged = 1 if flags & 0x10 else 0
    return ip(source, destination, 6, tcp_segment(pair, ports, sequence, acknowledged, flags, body))


def sctp(source: str, destination: str, ports: tuple[int, int], kind: int, body: bytes) -> bytes:
    """A chunk of an association that is there: its tag is the payload's mark."""
    chunk = struct.pack("!BBH", kind, 3, 16 + len(body)) + bytes(12) + body
    head = struct.pack("!HH", *ports) + body[-4:]
    return ip(source, destination, SCTP, head + crc32c(head + bytes(4) + chunk).to_bytes(4, "little") + chunk)


def icmp(source: str, destination: str, kind: int, code: int, rest: bytes, hops: int = 64) -> bytes:
    """An ICMP message of the family's kind; `rest` is everything behind the checksum."""
    pair = b"".join(ends(source, destination))
    if len(pair) == 8:
        return ip(source, destination, ICMP, icmp_message(b"", kind, code, rest), hops)
    return ip(source, destination, ICMPV6, icmp_message(pair, kind, code, rest), hops)


def with_options(packet: bytes, options: bytes) -> bytes:
    """An IPv4 packet with options, padded to words."""
    options = options.ljust(-(-len(options) // 4) * 4, b"\0")
    head = bytearray(packet[:20] + options)
    head[0] = 0x40 | len(head) // 4
    head[2:4] = (len(packet) + len(options)).to_bytes(2, "big")
    head[10:12] = b"\0\0"
    head[10:12] = checksum(bytes(head)).to_bytes(2, "big")
    return bytes(head) + packet[20:]


def with_headers(packet: bytes, *headers: tuple[int, bytes]) -> bytes:
    """An IPv6 packet with extension headers: (number, header whose first byte is replaced)."""
    numbers = [number for number, _ in headers] + [packet[6]]
    chain = b"".join(
        bytes([following]) + body[1:] for following, (_, body) in zip(numbers[1:], headers, strict=True)
    )
    length = (len(packet) - 40 + len(chain)).to_bytes(2, "big")
    return packet[:4] + length + bytes([numbers[0]]) + packet[7:40] + chain + packet[40:]


def fragments(packet: bytes, size: int, identity: int) -> tuple[bytes, ...]:
    """The packet in pieces of `size` bytes, a multiple of eight."""
    version = packet[0] >> 4
    head, body = (packet[:20], packet[20:]) if version == 4 else (packet[:40], packet[40:])
    pieces = []
    for offset in range(0, len(body), size):
        piece, more = body[offset : offset + size], offset + size < len(body)
        if version == 4:
            flags = offset // 8 | (0x2000 if more else 0)
            start = struct.pack("!HHH", 20 + len(piece), identity & 0xFFFF, flags)
            whole = head[:2] + start + head[8:10] + b"\0\0" + head[12:]
            whole = whole[:10] + checksum(whole).to_bytes(2, "big") + whole[12:]
            pieces.append(whole + piece)
        else:
            fragment = struct.pack("!BBHI", 0, 0, offset | more, identity)
            pieces.append(with_headers(head + piece, (44, fragment)))
    return tuple(pieces)


def arp(
    operation: int, sender: tuple[bytes, str], target: tuple[bytes, str], rest: bytes, hardware: int = 1
) -> bytes:
    """An ARP message, (MAC, address) of each end; `rest` stands where others pad."""
    body = struct.pack("!HHBBH", hardware, IPV4, 6, 4, operation)
    for mac, address in (sender, target):
        body += mac + ip_address(address).packed
    return body + rest


def neighbour(kind: int, target: str, mac: bytes | None, rest: bytes, flags: int = 0) -> bytes:
    """What stands behind the checksum of a solicitation (135) or advertisement (136)."""
    option = _SOURCE_LL if kind == 135 else _TARGET_LL
    own = b"" if mac is None else bytes([option, 1]) + mac
    return struct.pack("!I", flags << 24) + ip_address(target).packed + own + unknown_option(rest)


def advertisement(rest: bytes) -> bytes:
    """The same of a router advertisement that offers a default route of high preference."""
    return struct.pack("!BBHII", 64, 0x08, 1800, 0, 0) + unknown_option(rest)


def redirect(target: str, destination: str, rest: bytes) -> bytes:
    return bytes(4) + b"".join(ends(target, destination)) + unknown_option(rest)


def unknown_option(rest: bytes) -> bytes:
    """An option of neighbour discovery that everybody skips."""
    body = bytes([_UNKNOWN_OPTION, 2]) + rest
    return body.ljust(16, b"\0")


def vxlan(inner: bytes, network: int = 1) -> bytes:
    return struct.pack("!BBHI", 0x08, 0, 0, network << 8) + inner


def geneve(inner: bytes, network: int = 1) -> bytes:
    return struct.pack("!BBHI", 0, 0, 0x6558, network << 8) + inner
