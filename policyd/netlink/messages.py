"""Netlink messages as bytes: headers, attributes, and one question at a time. Knows no subsystem."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

NETFILTER = 12
REQUEST, ACK, DUMP = 0x1, 0x4, 0x300
ERROR, _DONE = 2, 3
_KIND = 0x3FFF
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_CODE = struct.Struct("=i")
_SOCKETS = Path("/proc/thread-self/net/netlink")
#: The kernel's MAX_ERRNO.
_LAST_ERROR = 4095


class Malformed(OSError):
    """What was read is no answer of the kernel that we understand. Its errno is EBADMSG."""

    def __init__(self, what: str) -> None:
        super().__init__(errno.EBADMSG, f"this is no answer of the kernel: {what}")


class Message(NamedTuple):
    """One message. `port` is the socket that a notification is about, or that the kernel answers."""

    kind: int
    flags: int
    sequence: int
    port: int
    payload: bytes


def open_socket(protocol: int) -> socket.socket:
    """A bound socket in this network namespace; waits 5 s for an answer at most."""
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
    opened.bind((0, 0))
    opened.settimeout(5)
    return opened


def ports_in_use(protocol: int) -> frozenset[int]:
    """The ports of the sockets of this protocol that are open in this network namespace. Raises OSError."""
    rows = [line.split() for line in _SOCKETS.read_text().splitlines()[1:]]
    return frozenset(int(row[2]) for row in rows if int(row[1]) == protocol)


def message(kind: int, flags: int, payload: bytes, sequence: int = 0) -> bytes:
    """A message with its header."""
    return _HEADER.pack(_HEADER.size + len(payload), kind, flags, sequence, 0) + payload


def messages(data: bytes) -> Iterator[Message]:
    """Each message of a datagram. Raises Malformed at the first that is none."""
    at = 0
    while at < len(data):
        if at + _HEADER.size > len(data):
            raise Malformed("half a header")
        length, kind, flags, sequence, port = _HEADER.unpack_from(data, at)
        if not _HEADER.size <= length <= len(data) - at:
            raise Malformed(f"a message of {length} bytes in {len(data) - at}")
        yield Message(kind, flags, sequence, port, data[at + _HEADER.size : at + length])
        at += (length + 3) & ~3


def pairs(data: bytes, at: int = 0) -> Iterator[tuple[int, bytes]]:
    """The attributes from an offset on, in their order, as (type, value). Raises Malformed."""
    while at < len(data):
        if at + _ATTRIBUTE.size > len(data):
            raise Malformed("half an attribute")
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if not _ATTRIBUTE.size <= length <= len(data) - at:
            raise Malformed(f"an attribute of {length} bytes in {len(data) - at}")
        yield kind & _KIND, data[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3


def attributes(data: bytes, at: int = 0) -> dict[int, bytes]:
    """The attributes from an offset on, by type; of two of one type the later counts. Raises Malformed."""
    return dict(pairs(data, at))


def attribute(kind: int, value: bytes, *, nested: bool = False) -> bytes:
    """An attribute, padded."""
    length = _ATTRIBUTE.size + len(value)
    padding = bytes(-length % 4)
    return _ATTRIBUTE.pack(length, kind | (0x8000 if nested else 0)) + value + padding


def pack(values: Mapping[int, bytes]) -> bytes:
    """Several plain attributes."""
    return b"".join(attribute(kind, value) for kind, value in values.items())


@contextmanager
def understood() -> Iterator[None]:
    """What fails within for want of an attribute, or of bytes in one, raises Malformed."""
    try:
        yield
    except (LookupError, struct.error, ValueError) as error:
        raise Malformed(f"{type(error).__name__}: {error}") from error


def error_code(payload: bytes) -> int:
    """The errno in an answer, 0 for a yes. Raises Malformed."""
    if len(payload) < _CODE.size:
        raise Malformed("an error without its number")
    code: int = -_CODE.unpack_from(payload)[0]
    if not 0 <= code <= _LAST_ERROR:
        raise Malformed(f"the error {code}")
    return code


def ask(opened: socket.socket, question: bytes) -> Iterator[bytes]:
    """Send a request or a dump; the payloads that answer it.

    Raises OSError with the kernel's errno for a no, and Malformed for what is no answer.
    """
    opened.send(question)
    for found in answers(opened):
        yield found.payload


def answers(opened: socket.socket, sequence: int = 0) -> Iterator[Message]:
    """The messages that answer the question of this number, to their end. Raises as `ask` does."""
    while True:
        for found in messages(opened.recv(1 << 20)):
            if found.sequence != sequence:
                continue  # left over from a question whose answer nobody read to its end
            if found.kind not in (ERROR, _DONE):
                yield found
                continue
            # The end of a dump has a number, too: one that the kernel broke off is not the whole.
            if (code := error_code(found.payload) if found.payload else 0) != 0:
                raise OSError(code, os.strerror(code))
            return
