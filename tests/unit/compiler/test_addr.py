"""Text of addresses: what is printed is read back, and nothing else is an address."""

from __future__ import annotations

import pytest

from policyd_compiler.addr import parse_v4, parse_v6, print_v4, print_v6


@pytest.mark.parametrize("address", [0, 1, 0x0A000001, 0xFFFF_FFFF])
def test_ipv4_is_read_as_it_is_printed(address: int) -> None:
    assert parse_v4(print_v4(address)) == address


@pytest.mark.parametrize("address", [0, 1, 0xFD << 120, (1 << 128) - 1, 0x2001_0DB8 << 96 | 1 << 64 | 1])
def test_ipv6_is_read_as_it_is_printed(address: int) -> None:
    assert parse_v6(print_v6(address)) == address


def test_a_dotted_tail_is_read() -> None:
    assert parse_v6("::ffff:10.0.0.1") == 0xFFFF_0A00_0001


@pytest.mark.parametrize(
    "text",
    ["", "1.2.3", "1.2.3.4.5", "+1.2.3.4", " 1.2.3.4", "1_0.2.3.4", "١.2.3.4", "01.2.3.4", "1.2.3.256"],
)
def test_what_is_no_ipv4_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an IPv4 address"):
        parse_v4(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7::8",
        "::-1",
        "::12345",
        "::+1",
        "::1_0",
        "1::2::3",
        "::g",
        "::1.2.3.0x4",
    ],
)
def test_what_is_no_ipv6_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not an IPv[46] address"):
        parse_v6(text)
