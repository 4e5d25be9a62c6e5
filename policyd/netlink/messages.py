"""Netlink messages as bytes: headers, attributes, and one question at a time. Knows no subsystem."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator, Mapping

NETFILTER = 12
REQUEST, ACK, DUMP = 0x1, 0x4, 0x300
_ERROR, _DONE = 2, 3
_NESTED_OR_ORDERED = 0xC000
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")


def open_socket(protocol: int) -> socket.socket:
    """A bound socket in this network namespace; waits 5 s for an answer at most."""
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
    opened.bind((0, 0))
    opened.settimeout(5)
    return opened


def message(kind: int, flags: int, payload: bytes) -> bytes:
    """A message with its header."""
    return _HEADER.pack(_HEADER.size + len(payload), kind, flags, 0, 0) + payload


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The type and payload of each message of a datagram."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, _, _, _ = _HEADER.unpack_from(data, at)
        if length < _HEADER.size:
            return
        yield kind, data[at + _HEADER.size : at + length]
        at += (length + 3) & ~3


def attributes(data: bytes, at: int = 0) -> dict[int, bytes]:
    """The attributes from an offset on, by type; of two of one type the later counts."""
    found: dict[int, bytes] = {}
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size:
            break
        found[kind & ~_NESTED_OR_ORDERED] = data[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3
    return found


def attribute(kind: int, value: bytes, *, nested: bool = False) -> bytes:
    """An attribute, padded."""
    length = _ATTRIBUTE.size + len(value)
    padding = bytes(-length % 4)
    return _ATTRIBUTE.pack(length, kind | (0x8000 if nested else 0)) + value + padding


def pack(values: Mapping[int, bytes]) -> bytes:
    """Several plain attributes."""
    return b"".join(attribute(kind, value) for kind, value in values.items())


def ask(opened: socket.socket, question: bytes) -> Iterator[bytes]:
    """Send a request or a dump; the payloads that answer it. OSError with the kernel's errno for a no."""
    opened.send(question)
    while True:
        for kind, payload in messages(opened.recv(1 << 20)):
            if kind == _DONE:
                return
            if kind == _ERROR:
                code = -struct.unpack_from("=i", payload)[0]
                if code:
                    raise OSError(code, os.strerror(code))
                return
            yield payload
