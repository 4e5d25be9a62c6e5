"""The process that owns libnftables: a program of its own, started by `worker.py`, never imported.

Frames in both directions: one byte that says what it is, four bytes of length (big-endian), text in UTF-8.
Requests: R run, C check, L list, S list without elements; as small letters the same in another network
namespace, whose path comes before the text, and a NUL between them. Replies, one to each: `+` done, with
nft's output, `-` refused, with its errors, `X` no way into that namespace, with the reason. Before the first
request: `H` ready with the protocol's version, or `X` not usable with the reason.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import sys
from pathlib import Path
from typing import Any, BinaryIO

HEADER = struct.Struct("!cI")
VERSION = b"2"
_PR_SET_PDEATHSIG = 1
_CLONE_NEWNET = 0x40000000
_OWN = "/proc/self/ns/net"


class Unusable(Exception):
    """There is no library, or no way into the namespace."""


def serve(library: str, netns: str | None) -> None:
    """Answer requests until standard input ends."""
    # What the library prints must not come between the frames.
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    # When a whole service is told to stop, our parent ends us, after what it still has to do.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        _die_with_parent()
        if netns is not None:
            _enter(netns)
        nft = _open_library(library)
        home = os.open(_OWN, os.O_RDONLY)
    except Unusable as error:
        send(replies, b"X", str(error).encode())
        return
    send(replies, b"H", VERSION)
    while (frame := receive(sys.stdin.buffer)) is not None:
        kind, text = frame
        try:
            if kind.islower():
                status, output, errors = _do_there(library, home, kind.upper(), text)
            else:
                status, output, errors = _do(nft, kind, text)
        except Unusable as error:
            send(replies, b"X", str(error).encode())
        else:
            send(replies, b"-" if status else b"+", errors if status else output)


def _do_there(library: str, home: int, kind: bytes, content: bytes) -> tuple[int, bytes, bytes]:
    """Do it in another namespace, and come back. The library's contexts stay where they are made."""
    place, _, text = content.partition(b"\0")
    try:
        _enter(place.decode())
        return _do(_open_library(library), kind, text)
    finally:
        if _libc().setns(home, _CLONE_NEWNET) != 0:
            os._exit(1)  # whatever came next would be done in the wrong place


def send(stream: BinaryIO, kind: bytes, content: bytes) -> None:
    """Write a frame."""
    stream.write(HEADER.pack(kind, len(content)))
    stream.write(content)
    stream.flush()


def receive(stream: BinaryIO) -> tuple[bytes, bytes] | None:
    """Read a frame; None at the end of the stream."""
    header = stream.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    kind, length = HEADER.unpack(header)
    content = stream.read(length)
    return (kind, content) if len(content) == length else None


def _do(nft: Any, kind: bytes, text: bytes) -> tuple[int, bytes, bytes]:
    nft.set_json_output(kind in (b"L", b"S"))
    nft.set_terse_output(kind == b"S")
    nft.set_dry_run(kind == b"C")
    result: tuple[int, bytes, bytes]
    if kind in (b"L", b"S"):
        result = nft.cmd(text)
        return result
    # As a file, because an error in a buffer comes without its line.
    with os.fdopen(os.memfd_create("script"), "wb") as script:
        script.write(text)
        script.flush()
        result = nft.cmd_from_file(f"/proc/self/fd/{script.fileno()}".encode())
    return result


def _open_library(directory: str) -> Any:
    # Behind everything else, and only for this import.
    sys.path.append(directory)
    try:
        from nftables import Nftables  # noqa: PLC0415 found only now

        nft = Nftables()
    except (ImportError, OSError, AttributeError) as error:
        raise Unusable(f"no python3-nftables in {directory}: {error}") from error
    finally:
        sys.path.remove(directory)
    # Protocols and priorities as numbers: their names differ between systems and versions.
    nft.set_numeric_proto_output(val=True)
    nft.set_numeric_prio_output(val=True)
    return nft


def _die_with_parent() -> None:
    # The end of standard input comes too late for a process that is busy in the library.
    if _libc().prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise Unusable(f"prctl: {os.strerror(ctypes.get_errno())}")


def _enter(netns: str) -> None:
    try:
        with Path(netns).open("rb") as place:
            if _libc().setns(place.fileno(), _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), netns)
    except OSError as error:
        raise Unusable(f"cannot enter the network namespace: {error}") from error


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
