"""Packets as bytes, each with a mark by which it is known again wherever it arrives. Pure.

A `Shot` is the packet that opens a flow of its protocol: a SYN, a datagram, an INIT, an echo request, or a
packet of any protocol without ports; other TCP flags make a stray of it. Checksums are right, because
connection tracking reads them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal, TypeAlias

Protocol: TypeAlias = Literal["tcp", "udp", "sctp", "icmp", "nd"] | int

TCP, UDP, SCTP, ICMP, ICMPV6 = 6, 17, 132, 1, 58
FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10
_MAGIC = b"plcy"
_ECHO = {4: 8, 6: 128}
_SOLICITATION = 135


@dataclass(frozen=True, slots=True)
class Shot:
    """One packet. `mark` is its own number, 1 to 2^32-1.

    `icmp` is an echo request of the family's kind; the low 16 bits of the mark are its identifier, which
    connection tracking goes by. `nd` is a neighbour solicitation for the destination.
    """

    source: str
    destination: str
    protocol: Protocol
    mark: int
    sport: int = 0
    dport: int = 0
    flags: int = SYN


def craft(shot: Shot) -> bytes:
    """The IP packet."""
    source, destination = ip_address(shot.source), ip_address(shot.destination)
    version = source.version
    if destination.version != version:
        raise ValueError(f"{shot.source} and {shot.destination} are of different families")
    number = protocol_number(shot.protocol, version)
    pseudo = source.packed + destination.packed
    match shot.protocol:
        case "tcp":
            body = tcp_segment(pseudo, (shot.sport, shot.dport), shot.mark, 0, shot.flags)
        case "udp":
            body = udp_datagram(pseudo, (shot.sport, shot.dport), _MAGIC + shot.mark.to_bytes(4, "big"))
        case "sctp":
            body = _sctp_init(shot)
        case "icmp":
            identity = struct.pack("!HH", shot.mark & 0xFFFF, shot.mark >> 16)
            body = icmp_message(pseudo if version == 6 else b"", _ECHO[version], 0, identity)
        case "nd":
            body = icmp_message(pseudo, _SOLICITATION, 0, shot.mark.to_bytes(4, "big") + destination.packed)
            return ip_packet(source.packed, destination.packed, number, body, hops=255)
        case _:
            body = _MAGIC + shot.mark.to_bytes(4, "big")
    return ip_packet(source.packed, destination.packed, number, body)


def protocol_number(protocol: Protocol, version: int) -> int:
    """The number in the IP header."""
    match protocol:
        case "tcp":
            return TCP
        case "udp":
            return UDP
        case "sctp":
            return SCTP
        case "icmp" | "nd":
            return ICMP if version == 4 else ICMPV6
        case _:
            return protocol


def ip_packet(source: bytes, destination: bytes, protocol: int, body: bytes, *, hops: int = 64) -> bytes:
    """An IP packet around a body; the addresses are packed, and their length tells the family."""
    if len(source) == 16:
        return struct.pack("!IHBB", 6 << 28, len(body), protocol, hops) + source + destination + body
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0, hops, protocol, 0) + source + destination
    return head[:10] + checksum(head).to_bytes(2, "big") + head[12:] + body


def tcp_segment(
    pseudo: bytes, ports: tuple[int, int], sequence: int, acknowledged: int, flags: int, payload: bytes = b""
) -> bytes:
    """A TCP segment. `pseudo` is the packed source and destination address."""
    head = struct.pack("!HHIIBBHHH", *ports, sequence, acknowledged, 5 << 4, flags, 64240, 0, 0)
    seal = _seal(pseudo, TCP, head + payload)
    return head[:16] + seal.to_bytes(2, "big") + head[18:] + payload


def udp_datagram(pseudo: bytes, ports: tuple[int, int], payload: bytes) -> bytes:
    """A UDP datagram. `pseudo` is the packed source and destination address."""
    head = struct.pack("!HHHH", *ports, 8 + len(payload), 0)
    seal = _seal(pseudo, UDP, head + payload) or 0xFFFF
    return head[:6] + seal.to_bytes(2, "big") + payload


def icmp_message(pseudo: bytes, kind: int, code: int, rest: bytes) -> bytes:
    """An ICMP message; with `pseudo` an ICMPv6 message. `rest` is everything behind the checksum."""
    head = struct.pack("!BBH", kind, code, 0)
    seal = _seal(pseudo, ICMPV6, head + rest) if pseudo else checksum(head + rest)
    return head[:2] + seal.to_bytes(2, "big") + rest


def _sctp_init(shot: Shot) -> bytes:
    chunk = struct.pack("!BBHIIHHI", 1, 0, 20, shot.mark, 106496, 10, 65535, shot.mark)
    head = struct.pack("!HHII", shot.sport, shot.dport, 0, 0)
    return head[:8] + crc32c(head + chunk).to_bytes(4, "little") + chunk


def read_mark(packet: bytes) -> int | None:
    """The mark of a shot in an IP packet; None where it is another packet, an answer to a shot included."""
    if len(packet) < 20:
        return None
    if packet[0] >> 4 == 4:
        return read_body_mark(packet[9], packet[(packet[0] & 15) * 4 :])
    return read_body_mark(packet[6], packet[40:])


def read_body_mark(protocol: int, body: bytes) -> int | None:
    """The same for what stands behind the IP header."""
    match protocol:
        case 6:
            answer = len(body) < 20 or body[13] & RST or body[13] & (SYN | ACK) == SYN | ACK
            found = b"" if answer else body[4:8]
        case 17:
            found = body[12:16] if body[8:12] == _MAGIC else b""
        case 132:
            found = body[16:20] if body[12:13] == b"\x01" else b""
        case 1 | 58 if body[:2] in (b"\x08\x00", b"\x80\x00"):
            found = body[6:8] + body[4:6]
        case 58:
            found = body[4:8] if body[:2] == b"\x87\x00" else b""
        case _:
            found = body[4:8] if body[:4] == _MAGIC else b""
    # A real solicitation has zeros where ours has its mark.
    return int.from_bytes(found, "big") or None if len(found) == 4 else None


def checksum(data: bytes) -> int:
    """The Internet checksum."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def _seal(pseudo: bytes, protocol: int, data: bytes) -> int:
    return checksum(pseudo + struct.pack("!II", len(data), protocol) + data)


def crc32c(data: bytes) -> int:
    """The checksum of SCTP."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC32C[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _crc_entry(index: int) -> int:
    for _ in range(8):
        index = (index >> 1) ^ (0x82F63B78 if index & 1 else 0)
    return index


_CRC32C = tuple(map(_crc_entry, range(256)))
