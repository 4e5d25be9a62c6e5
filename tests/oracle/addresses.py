"""Addresses and CIDR blocks, read as the API server reads them, old spellings included.

Own parser on purpose (NP-077): Python's `ipaddress` refuses leading zeros and keeps IPv4-mapped text as IPv6,
while C libraries read 010 as octal. The API server means decimal, and the IPv4 block that is mapped.
"""

from __future__ import annotations

from dataclasses import dataclass

MAPPED = 0xFFFF << 32  # ::ffff:0:0, under which IPv6 text writes IPv4 addresses
BITS = {4: 32, 6: 128}


@dataclass(frozen=True, slots=True)
class Address:
    family: int
    value: int


@dataclass(frozen=True, slots=True)
class Block:
    """All addresses from first to last, both included."""

    family: int
    first: int
    last: int

    def holds(self, address: Address) -> bool:
        return self.family == address.family and self.first <= address.value <= self.last


def parse_address(text: object) -> Address | None:
    """Read one address; None if the text is not an address."""
    if not isinstance(text, str):
        return None
    if (ipv4 := _ipv4(text)) is not None:
        return Address(4, ipv4)
    if (ipv6 := _ipv6(text)) is None:
        return None
    if ipv6 >> 32 == 0xFFFF:
        return Address(4, ipv6 - MAPPED)
    return Address(6, ipv6)


def parse_block(text: object) -> Block | None:
    """Read one CIDR block; None if the text is not one (NP-089: then it matches nothing)."""
    if not isinstance(text, str):
        return None
    address, slash, digits = text.partition("/")
    if not slash or not _is_decimal(digits):
        return None
    ipv4, ipv6 = _ipv4(address), _ipv6(address)
    if ipv4 is not None:
        return _block(4, ipv4, int(digits))
    if ipv6 is not None:
        return _block(6, ipv6, int(digits))
    return None


def parse_blocks(*texts: str) -> tuple[Block, ...]:
    """Read blocks that are written in this code."""
    blocks = [parse_block(text) for text in texts]
    return tuple(block for block in blocks if block is not None)


def _block(family: int, value: int, length: int) -> Block | None:
    if length > BITS[family]:
        return None
    size = 1 << (BITS[family] - length)
    first = value - value % size  # host bits mean nothing (NP-077)
    # Mapped text is an IPv4 block as long as the whole prefix ::ffff:0:0/96 is fixed (NP-077, NP-078).
    if family == 6 and length >= 96 and first >> 32 == 0xFFFF:
        return Block(4, first - MAPPED, first - MAPPED + size - 1)
    return Block(family, first, first + size - 1)


def _is_decimal(text: str) -> bool:
    return text != "" and all(character in "0123456789" for character in text)


def _ipv4(text: str) -> int | None:
    parts = text.split(".")
    if len(parts) != 4 or not all(_is_decimal(part) and int(part) <= 255 for part in parts):
        return None
    return int.from_bytes(bytes(int(part) for part in parts), "big")  # 010 is ten (NP-077)


def _ipv6(text: str) -> int | None:
    if "." in text:  # the last 32 bits in IPv4 spelling
        head, _, dotted = text.rpartition(":")
        ipv4 = _ipv4(dotted)
        if ipv4 is None:
            return None
        text = f"{head}:{ipv4 >> 16:x}:{ipv4 & 0xFFFF:x}"
    halves = [half.split(":") if half else [] for half in text.split("::")]
    groups = [group for half in halves for group in half]
    if not all(_is_group(group) for group in groups):
        return None
    match halves:
        case [_] if len(groups) == 8:
            pass
        case [head_groups, tail_groups] if len(groups) < 8:  # :: stands for at least one group
            groups = [*head_groups, *["0"] * (8 - len(groups)), *tail_groups]
        case _:
            return None
    value = 0
    for group in groups:
        value = value << 16 | int(group, 16)
    return value


def _is_group(text: str) -> bool:
    return text != "" and all(c in "0123456789abcdefABCDEF" for c in text) and int(text, 16) <= 0xFFFF


#: No pod can hold these, whatever its status says (NP-167): unspecified, loopback, link-local, multicast,
#: broadcast.
NOBODYS = parse_blocks(
    *("0.0.0.0/32", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32"),
    *("::/128", "::1/128", "fe80::/10", "ff00::/8"),
)
