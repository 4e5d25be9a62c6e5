"""CIDR blocks and IP addresses, read as the API server's legacy parser reads them.

Own parser on purpose (NP-077): Python's `ipaddress` refuses leading zeros and keeps IPv4-mapped text as IPv6,
and C libraries read 010 as octal. The API server means decimal, and the IPv4 block that is mapped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from policyd.kube.objects import Cidr
from policyd.kube.syntax import quote
from policyd_compiler.addr import BITS, print_address

MAPPED = 0xFFFF  # the 96 bits under which IPv6 text writes IPv4 addresses, ::ffff:0:0/96

_DECIMAL = re.compile(r"[0-9]+")
_BYTES = {str(byte): byte for byte in range(256)}
_GROUP = re.compile(r"[0-9a-fA-F]+")
_PLAIN_IPV4 = re.compile(r"(?:(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])(?:\.(?!$)|$)){4}")


@dataclass(frozen=True, slots=True)
class Written:
    """A block, and the prefix length as it was written: the API server compares excepts by that (NP-079)."""

    cidr: Cidr
    length: int


def parse_cidr(text: str) -> Cidr:
    """Read a block; ValueError, with a sentence, for what every API server refuses (NP-088)."""
    return read_cidr(text).cidr


def read_cidr(text: str) -> Written:
    """As `parse_cidr`, with the prefix length as written."""
    address, slash, digits = text.partition("/")
    if not text:
        raise ValueError("must be a CIDR block such as 10.0.0.0/8, not empty")
    if not slash:
        raise ValueError(_no_slash(text))
    read = _read_ip(address)
    if read is None:
        raise ValueError(f"{quote(address)} is not an IP address{_why_not(address)}")
    family, value = read
    length = _decimal(digits)
    if length is None or length > BITS[family]:
        raise ValueError(f"the prefix length of {quote(text)} must be a number from 0 to {BITS[family]}")
    shift = BITS[family] - length
    network = value >> shift << shift  # host bits mean nothing (NP-077)
    # Mapped text is an IPv4 block as long as all of ::ffff:0:0/96 is fixed (NP-077, NP-078).
    if family == 6 and length >= 96 and network >> 32 == MAPPED:
        return Written(Cidr(4, network & 0xFFFF_FFFF, length - 96), length)
    return Written(Cidr(family, network, length), length)


def print_cidr(cidr: Cidr) -> str:
    """The canonical text of a block (RFC 5952 for IPv6)."""
    return f"{print_address(cidr.family, cidr.network)}/{cidr.prefix}"


def except_mistake(cidr: Written, exception: Written) -> str | None:
    """Say why the API server refuses an except of this block, or None if it does not (NP-079, NP-088).

    It asks whether the block holds the except's first address, and compares the lengths as written.
    """
    if exception.cidr.family != cidr.cidr.family:
        return f"must be of the same IP family as the cidr {print_cidr(cidr.cidr)}"
    shift = BITS[cidr.cidr.family] - cidr.cidr.prefix
    inside = exception.cidr.network >> shift == cidr.cidr.network >> shift
    if not inside or cidr.length >= exception.length:
        return f"must be a strict subset of the cidr {print_cidr(cidr.cidr)}"
    return None


def is_subset(inner: Cidr, outer: Cidr) -> bool:
    """Whether every address of `inner` is in `outer`."""
    return inner.prefix >= outer.prefix and holds(outer, inner.family, inner.network)


def holds(cidr: Cidr, family: int, address: int) -> bool:
    """Whether an address, as a number, is in `cidr`."""
    shift = BITS[cidr.family] - cidr.prefix
    return cidr.family == family and address >> shift == cidr.network >> shift


def is_legacy_cidr(text: str) -> bool:
    """Whether a server with StrictIPCIDRValidation refuses a block that `parse_cidr` reads (NP-077).

    True for host bits, leading zeros and IPv4-mapped text; false for mere style such as capitals (NP-081).
    """
    address, _, digits = text.partition("/")
    written = read_cidr(text)
    family, value = _read_ip(address) or (written.cidr.family, written.cidr.network)
    shift = BITS[family] - written.length
    host_bits = value & ((1 << shift) - 1) != 0
    zeros = digits != str(written.length) or (":" not in address and not _PLAIN_IPV4.fullmatch(address))
    dotted = address.rpartition(":")[2] if ":" in address and "." in address else ""
    zeros = zeros or (dotted != "" and not _PLAIN_IPV4.fullmatch(dotted))
    # Go's netip takes at most four digits in a group of IPv6, the parser before it any number of zeros.
    zeros = zeros or any(len(group) > 4 for group in address.split(":") if "." not in group)
    return host_bits or zeros or (family == 6 and value >> 32 == MAPPED)


def parse_ip(text: str) -> tuple[int, int]:
    """Read one address as (family, number); ValueError with a sentence if it is none."""
    read = _read_ip(text)
    if read is None:
        raise ValueError(f"{quote(text)} is not an IP address{_why_not(text)}")
    family, value = read
    return (4, value & 0xFFFF_FFFF) if family == 6 and value >> 32 == MAPPED else read


def canonical_ip(text: str) -> str:
    """The canonical text of an address; ValueError with a sentence if it is none."""
    return print_address(*parse_ip(text))


def print_ips(v4: int | None, v6: int | None) -> tuple[str, ...]:
    """The canonical texts of what a pod or a node has, one for each family."""
    return tuple(print_address(family, value) for family, value in ((4, v4), (6, v6)) if value is not None)


def _read_ip(text: str) -> tuple[int, int] | None:
    if (ipv4 := _ipv4(text)) is not None:
        return 4, ipv4
    ipv6 = _ipv6(text)
    return None if ipv6 is None else (6, ipv6)


def _ipv4(text: str) -> int | None:
    parts = text.split(".")
    if len(parts) != 4:
        return None
    value = 0
    for part in parts:
        byte = _BYTES.get(part)  # nearly all of them: this is asked for every pod
        if byte is None:
            byte = _decimal(part)  # 010 is ten (NP-077)
        if byte is None or byte > 255:
            return None
        value = value << 8 | byte
    return value


def _ipv6(text: str) -> int | None:
    if ":" not in text:
        return None
    if "." in text:  # the last 32 bits in IPv4 spelling
        head, _, dotted = text.rpartition(":")
        ipv4 = _ipv4(dotted)
        if ipv4 is None:
            return None
        text = f"{head}:{ipv4 >> 16:x}:{ipv4 & 0xFFFF:x}"
    halves = [[_group(part) for part in half.split(":")] if half else [] for half in text.split("::")]
    if len(halves) == 2 and len(halves[0]) + len(halves[1]) < 8:  # `::` stands for at least one group
        groups = [*halves[0], *[0] * (8 - len(halves[0]) - len(halves[1])), *halves[1]]
    elif len(halves) == 1 and len(halves[0]) == 8:
        groups = halves[0]
    else:
        return None
    value = 0
    for group in groups:
        if group is None:
            return None
        value = value << 16 | group
    return value


# Addresses of a cluster's pods have most groups in common.
@lru_cache(maxsize=4096)
def _group(text: str) -> int | None:
    digits = text.lstrip("0")
    return int(text, 16) if _GROUP.fullmatch(text) and len(digits) <= 4 else None


def _decimal(text: str) -> int | None:
    """A number in decimal digits, leading zeros or not; None if it is none or absurd."""
    if not _DECIMAL.fullmatch(text):
        return None
    digits = text.lstrip("0")
    return int(digits or "0") if len(digits) <= 6 else None


def _no_slash(text: str) -> str:
    try:
        family, value = parse_ip(text)
    except ValueError:
        return f"{quote(text)} is not a CIDR block: it has no /prefix"
    alone = f"{print_address(family, value)}/{BITS[family]}"
    return f"{quote(text)} has no prefix length; for the one address write {alone}"


def _why_not(address: str) -> str:
    if address != address.strip():
        return ": there is a space"
    if "%" in address:
        return ": a zone is not allowed"
    return ""
