"""Bytes in protobuf's wire format → numbered fields. Pure, and all of the format that a Pod needs.

By hand, because of a Pod's some 300 fields 20 are read: code generated for all of them would bring protobuf's
runtime and be regenerated for each version of Kubernetes, where numbers of fields stay for ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeAlias

#: A number, or what is delimited by its length: text, bytes, a message.
Value: TypeAlias = int | bytes

_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5
_WIDTHS: Final = {_FIXED64: 8, _FIXED32: 4}
#: A number has at most so many bytes.
_LONGEST: Final = 10


def fields(message: bytes) -> Iterator[tuple[int, Value]]:
    """The fields of a message in their order, as number and value. Raises ValueError for what is none."""
    at, end = 0, len(message)
    while at < end:
        key, at = _varint(message, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if kind == _DELIMITED:
            length, at = _varint(message, at)
        elif kind in _WIDTHS:
            length = _WIDTHS[kind]
        else:
            raise ValueError(f"a field of the unknown kind {kind}")
        if at + length > end:
            raise ValueError("a field that is cut off")
        yield key >> 3, message[at : at + length]
        at += length


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """The number that begins there, and where it ends."""
    value = 0
    for count, byte in enumerate(message[at : at + _LONGEST]):
        value |= (byte & 0x7F) << 7 * count
        if byte < 0x80:
            return value, at + count + 1
    raise ValueError("a number that does not end")
