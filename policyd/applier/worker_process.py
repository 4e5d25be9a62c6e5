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
import select
import signal
import struct
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

HEADER = struct.Struct("!cI")
VERSION = b"2"
_PR_SET_PDEATHSIG = 1
_CLONE_NEWNET = 0x40000000
_OWN = "/proc/self/ns/net"
#: After so many bytes of a script or an answer, memory that the library has freed goes back to the kernel.
_LARGE = 1 << 20
#: To close a context right behind a transaction waits for RCU, some 15 ms; a moment later it does not.
_KEEP_SECONDS = 1.0


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
    others = Others(library, home)
    while (frame := _next(others)) is not None:
        kind, text = frame
        try:
            if kind.islower():
                status, output, errors = others.do(kind.upper(), text)
            else:
                status, output, errors = _do(nft, kind, text)
        except Unusable as error:
            send(replies, b"X", str(error).encode())
        else:
            send(replies, b"-" if status else b"+", errors if status else output)
            if max(len(text), len(output)) >= _LARGE:
                del frame, text, output, errors, nft  # a context keeps what it has read
                nft = _open_library(library)
                _trim()


def _next(others: Others) -> tuple[bytes, bytes] | None:
    """The next frame; meanwhile what is kept of other namespaces is let go. Nobody sends two at a time."""
    while others.held and not select.select([sys.stdin.fileno()], [], [], _KEEP_SECONDS)[0]:
        others.let_go()
    return receive(sys.stdin.buffer)


class Others:
    """Contexts of the library in other network namespaces, each kept for a moment after it was used.

    A context stays in the namespace in which it was made, and keeps that from going.
    """

    def __init__(self, library: str, home: int) -> None:
        self._library, self._home = library, home
        self.held: dict[int, tuple[float, Any]] = {}

    def do(self, kind: bytes, content: bytes) -> tuple[int, bytes, bytes]:
        """Do it there, and come back. The path of the namespace stands before the text."""
        self.let_go()
        place, _, text = content.partition(b"\0")
        try:
            number = _enter(place.decode())
            _, nft = self.held.pop(number, (0.0, None))
            nft = nft or _open_library(self._library)
            self.held[number] = time.monotonic(), nft
            return _do(nft, kind, text)
        finally:
            if _libc().setns(self._home, _CLONE_NEWNET) != 0:
                os._exit(1)  # whatever came next would be done in the wrong place

    def let_go(self) -> None:
        """Close what has not been used for a while."""
        now = time.monotonic()
        self.held = {n: kept for n, kept in self.held.items() if now - kept[0] < _KEEP_SECONDS}


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


def _enter(netns: str) -> int:
    """Enter a network namespace: its number, which is its own as long as it is there."""
    try:
        with Path(netns).open("rb") as place:
            if _libc().setns(place.fileno(), _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), netns)
            return os.fstat(place.fileno()).st_ino
    except OSError as error:
        raise Unusable(f"cannot enter the network namespace: {error}") from error


def _trim() -> None:
    """Only glibc has this, and only there is it needed."""
    with suppress(AttributeError):
        _libc().malloc_trim(0)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
