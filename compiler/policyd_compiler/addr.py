"""Interval algebra on addresses and ports, and canonical address text. Pure integers, both families.

An interval is an inclusive (low, high) pair; a `Ranges` value is sorted, disjoint and never adjacent, so
equal sets of numbers are equal values and nft never sees an overlap (NP-074 to NP-076).
"""

from __future__ import annotations

import re
import struct
from bisect import bisect_right
from collections.abc import Iterable
from functools import lru_cache
from typing import Literal, TypeAlias

Family: TypeAlias = Literal[4, 6]
Interval: TypeAlias = tuple[int, int]
Ranges: TypeAlias = tuple[Interval, ...]

BITS: dict[int, int] = {4: 32, 6: 128}
_BYTES = {str(byte): byte for byte in range(256)}
_GROUP = re.compile(r"[0-9a-fA-F]{1,4}")
_GROUPS = struct.Struct(">8H")
_EIGHT_GROUPS = f":{':'.join(['%x'] * 8)}:"
#: Runs of zero groups, the longest first.
_ZEROS = tuple(":" + "0:" * count for count in range(8, 1, -1))


def prefix_interval(family: Family, network: int, prefix: int) -> Interval:
    """The addresses of a prefix. `network` must have no host bits."""
    return (network, network | ((1 << (BITS[family] - prefix)) - 1))


def union(intervals: Iterable[Interval]) -> Ranges:
    """Merge any intervals into a canonical Ranges value."""
    merged: list[Interval] = []
    for low, high in sorted(intervals):
        if merged and low <= merged[-1][1] + 1:
            if high > merged[-1][1]:
                merged[-1] = (merged[-1][0], high)
        else:
            merged.append((low, high))
    return tuple(merged)


def subtract(ranges: Ranges, holes: Ranges) -> Ranges:
    """What of `ranges` is not in `holes`. Both canonical, and so is the result."""
    left: list[Interval] = []
    index = 0
    for low, high in ranges:
        start = low
        while index and holes[index - 1][1] >= low:
            index -= 1
        while index < len(holes) and holes[index][0] <= high:
            hole_low, hole_high = holes[index]
            if hole_high >= start:
                if hole_low > start:
                    left.append((start, hole_low - 1))
                start = hole_high + 1
            index += 1
        if start <= high:
            left.append((start, high))
    return tuple(left)


def intersect(left: Ranges, right: Ranges) -> Ranges:
    """What is in both."""
    return subtract(left, subtract(left, right))


def contains(ranges: Ranges, value: int) -> bool:
    """Whether a number is in a canonical Ranges value."""
    index = bisect_right(ranges, (value, 1 << 129))
    return bool(index) and ranges[index - 1][1] >= value


def print_v4(address: int) -> str:
    """Dotted decimal."""
    return f"{address >> 24}.{address >> 16 & 255}.{address >> 8 & 255}.{address & 255}"


@lru_cache(maxsize=1 << 16)
def print_v6(address: int) -> str:
    """RFC 5952 text: lower case, the longest run of zero groups (of two or more) folded."""
    text = _EIGHT_GROUPS % _GROUPS.unpack(address.to_bytes(16))
    for zeros in _ZEROS:
        start = text.find(zeros)
        if start >= 0:
            return f"{text[1:start]}::{text[start + len(zeros) : -1]}"
    return text[1:-1]


def print_address(family: int, address: int) -> str:
    """Canonical text of an address."""
    return print_v4(address) if family == 4 else print_v6(address)


def parse_v4(text: str) -> int:
    """Read canonical dotted decimal. Raises ValueError on anything else."""
    parts = text.split(".")
    if len(parts) != 4:
        raise ValueError(f"not an IPv4 address: {text!r}")
    value = 0
    for part in parts:
        number = _BYTES.get(part)
        if number is None:
            raise ValueError(f"not an IPv4 address: {text!r}")
        value = value << 8 | number
    return value


def parse_v6(text: str) -> int:
    """Read IPv6 text, its last part dotted or not. Raises ValueError on anything else."""
    whole = text
    if "." in text:
        head, _, tail = text.rpartition(":")
        last = parse_v4(tail)
        text = f"{head}:{last >> 16:x}:{last & 0xFFFF:x}"
    head, gap, tail = text.partition("::")
    left = head.split(":") if head else []
    right = tail.split(":") if tail else []
    count = len(left) + len(right)
    if (count > 7 if gap else count != 8) or not all(map(_GROUP.fullmatch, (*left, *right))):
        raise ValueError(f"not an IPv6 address: {whole!r}")
    words = left + ["0"] * (8 - count) + right
    value = 0
    for word in words:
        value = value << 16 | int(word, 16)
    return value


def cover_prefixes(family: Family, interval: Interval) -> tuple[tuple[int, int], ...]:
    """The fewest (network, prefix length) pairs that cover an interval exactly."""
    low, high = interval
    out: list[tuple[int, int]] = []
    while low <= high:
        size = min(low & -low or 1 << BITS[family], 1 << ((high - low + 1).bit_length() - 1))
        out.append((low, BITS[family] - size.bit_length() + 1))
        low += size
    return tuple(out)
