"""A stream of packets as fast as one thread can send, while something else happens.

Everything is sent inside the kernel (`sendmmsg`), where other Python threads can run meanwhile.
"""

from __future__ import annotations

import ctypes
import os
import socket
import threading
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from policyd.lab.namespace import Namespace

_LIBC = ctypes.CDLL(None, use_errno=True)


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_char_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    """The struct msghdr."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint),
        ("iovec", ctypes.POINTER(_Iovec)),
        ("iovec_length", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    """The struct mmsghdr."""

    _fields_ = (("header", _Header), ("sent", ctypes.c_uint))


class _Batch:
    """Packets of one family to one destination, ready to be sent by one system call."""

    def __init__(self, source: Namespace, destination: str, packets: Sequence[bytes]) -> None:
        family = socket.AF_INET6 if ":" in destination else socket.AF_INET
        with source.entered():
            self.socket = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW)
        self.socket.connect((destination, 0))
        self._vectors = [_Iovec(packet, len(packet)) for packet in packets]
        self._messages = (_Message * len(packets))()
        for message, vector in zip(self._messages, self._vectors, strict=True):
            message.header.iovec = ctypes.pointer(vector)
            message.header.iovec_length = 1

    def send(self) -> int:
        """Send them once; how many went out. One that is refused, by a hook `output`, keeps no other back."""
        done = sent = 0
        while done < len(self._vectors):
            rest = ctypes.byref(self._messages, done * ctypes.sizeof(_Message))
            went = int(_LIBC.sendmmsg(self.socket.fileno(), rest, len(self._vectors) - done, 0))
            sent += max(0, went)
            done += max(1, went)
        return sent


class Stream:
    """Sends packets from a namespace, over and over, while the context lasts."""

    def __init__(
        self, source: Namespace, packets: Mapping[str, Sequence[bytes]], processor: int | None = None
    ) -> None:
        """`packets` are IP packets by destination; `processor`: sent on this one only."""
        self.sent = 0
        self._processor = processor
        self._batches = [_Batch(source, destination, group) for destination, group in packets.items()]
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stream")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()
        for batch in self._batches:
            batch.socket.close()

    def _run(self) -> None:
        if self._processor is not None:
            os.sched_setaffinity(0, {self._processor})  # of this thread
        while not self._stopped.is_set():
            for batch in self._batches:
                self.sent += batch.send()
