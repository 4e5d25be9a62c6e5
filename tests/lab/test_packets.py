"""Packets as bytes: marks are read where they arrive, checksums are right, answers are no shots."""

from __future__ import annotations

import pytest

from tests.lab.packets import (
    ICMPV6,
    TCP,
    Protocol,
    Shot,
    checksum,
    craft,
    crc32c,
    icmp_message,
    ip_packet,
    read_body_mark,
    read_mark,
    tcp_segment,
)

ENDS = {4: ("10.0.0.1", "10.0.0.2"), 6: ("fd00::1", "fd00::2")}
V6 = bytes.fromhex("fd" + "00" * 14 + "01"), bytes.fromhex("fd" + "00" * 14 + "02")


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("protocol", ["tcp", "udp", "sctp", "icmp", 47, 253])
@pytest.mark.parametrize("mark", [1, 0xFFFF, 0x10000, 0xDEADBEEF, 0xFFFFFFFF])
def test_a_mark_is_read_back(version: int, protocol: Protocol, mark: int) -> None:
    packet = craft(Shot(*ENDS[version], protocol, mark, 40000, 80))
    assert read_mark(packet) == mark
    number, body = (packet[9], packet[20:]) if version == 4 else (packet[6], packet[40:])
    assert read_body_mark(number, body) == mark


def test_a_solicitation_carries_its_mark() -> None:
    packet = craft(Shot(*ENDS[6], "nd", 7))
    assert (read_mark(packet), packet[6], packet[7], packet[40]) == (7, ICMPV6, 255, 135)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_checksum_over_a_whole_packet_is_zero(version: int, protocol: Protocol) -> None:
    packet = craft(Shot(*ENDS[version], protocol, 12345, 40000, 80))
    if version == 4:
        assert checksum(packet[:20]) == 0
    ends, body = (packet[12:20], packet[20:]) if version == 4 else (packet[8:40], packet[40:])
    number = (6 if protocol == "tcp" else 17).to_bytes(4, "big")
    assert checksum(ends + len(body).to_bytes(4, "big") + number + body) == 0


def test_crc32c_of_the_standard_example() -> None:
    """RFC 3720, B.4: 32 bytes of zeros; and the usual check value."""
    assert (crc32c(bytes(32)), crc32c(b"123456789")) == (0x8A9136AA, 0xE3069283)


def test_answers_are_no_shots() -> None:
    pseudo = V6[1] + V6[0]
    answer = tcp_segment(pseudo, (80, 40000), 5, 6, 0x12)
    assert read_mark(ip_packet(V6[1], V6[0], TCP, answer)) is None
    reply = icmp_message(pseudo, 129, 0, b"\0\1\0\0")
    assert read_mark(ip_packet(V6[1], V6[0], ICMPV6, reply)) is None
    solicitation = icmp_message(pseudo, 135, 0, bytes(4) + V6[0])
    assert read_mark(ip_packet(V6[1], V6[0], ICMPV6, solicitation)) is None
    assert read_mark(b"") is None


def test_families_do_not_mix() -> None:
    with pytest.raises(ValueError, match="of different families"):
        craft(Shot("10.0.0.1", "fd00::2", "tcp", 1))
