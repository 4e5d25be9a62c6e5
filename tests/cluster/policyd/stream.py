"""A packet each millisecond from one pod to another: when each was sent, and whether it arrived.

The packets are datagrams that nobody answers: so the connection never counts as established, and the ruleset
judges each of them again. Sender and receiver are threads of the test, and the clock is one.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

from policyd.lab.namespace import Namespace

INTERVAL = 0.001
#: A packet that was not received so long after it was sent was dropped: the way takes some 50 µs.
LOST_SECONDS = 0.05
#: One packet may be lost by chance; so many in a row are denied.
LOST_IN_A_ROW = 20
PORT = 9000


class Stream:
    """Packets from `source` to `address` in `target`, numbered from 0, while the context lasts."""

    def __init__(self, source: Namespace, target: Namespace, address: str, port: int = PORT) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with target.entered():
            self._receiver = socket.socket(family, socket.SOCK_DGRAM)
        with source.entered():
            self._sender = socket.socket(family, socket.SOCK_DGRAM)
        self._receiver.bind(("", port))
        self._receiver.settimeout(0.2)
        self._receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._sender.connect((address, port))
        self._sent: list[float] = []
        self._arrived = bytearray()
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=run, name="stream") for run in (self._send, self._receive)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        self._sender.close()
        self._receiver.close()

    def now(self) -> int:
        """Give the number of the packet that is sent next."""
        return len(self._sent)

    def sent_at(self, number: int) -> float:
        """Give the moment when a packet was sent, by the monotonic clock."""
        return self._sent[number]

    def arrived(self, first: int = 0) -> list[int]:
        """List the packets from `first` on that have arrived."""
        return [number for number in range(first, self.now()) if self._arrived[number]]

    def lost(self, first: int = 0) -> list[int]:
        """List the packets from `first` on that did not arrive and will not any more."""
        certain = time.monotonic() - LOST_SECONDS
        return [
            number
            for number in range(first, self.now())
            if not self._arrived[number] and self._sent[number] < certain
        ]

    def wait_for_arrival(self, first: int, seconds: float) -> int | None:
        """Give the first packet from `first` on that arrives; None if none does in time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := self.arrived(first):
                return found[0]
            time.sleep(INTERVAL)
        return None

    def wait_for_loss(self, first: int, seconds: float) -> int | None:
        """Give the first packet from `first` on after which none arrives any more; None if all do in time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            lost = self.lost(first)
            if len(lost) >= LOST_IN_A_ROW and lost[-1] - lost[-LOST_IN_A_ROW] == LOST_IN_A_ROW - 1:
                last_arrived = max(self.arrived(first), default=first - 1)
                return last_arrived + 1
            time.sleep(INTERVAL)
        return None

    def _send(self) -> None:
        due = time.monotonic()
        while not self._stopped.is_set():
            number = len(self._sent)
            self._arrived.append(0)
            self._sent.append(time.monotonic())
            with suppress(OSError):  # what is rejected comes back as an error of the next packet
                self._sender.send(number.to_bytes(8, "big"))
            due = max(due + INTERVAL, time.monotonic() - INTERVAL)
            time.sleep(max(0.0, due - time.monotonic()))

    def _receive(self) -> None:
        while not self._stopped.is_set():
            with suppress(TimeoutError):
                self._arrived[int.from_bytes(self._receiver.recv(64), "big")] = 1
