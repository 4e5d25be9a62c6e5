"""Packets that flow all along, each with its number: which leaked, and which were lost, for how long."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Self, TypeAlias

from policyd.lab.namespace import Namespace
from tests.support.waiting import eventually

PERIOD = 0.01
#: The latest packets may still be on their way, however long that takes on a busy machine.
FLIGHT = 50

Kind: TypeAlias = Literal["denied", "allowed", "established"]
PORTS: dict[Kind, int] = {"denied": 1001, "allowed": 2002, "established": 3003}
Span: TypeAlias = tuple[float, float]


@dataclass(slots=True)
class Flow:
    """UDP from one pod to another. Only what is `established` is answered: else each packet is new."""

    kind: Kind
    client: socket.socket
    server: socket.socket
    sent: list[Span] = field(default_factory=list)  # each within this time
    came: set[int] = field(default_factory=set)

    @classmethod
    def open(cls, kind: Kind, sender: Namespace, receiver: Namespace, ends: tuple[str, str]) -> Flow:
        family = socket.AF_INET6 if ":" in ends[0] else socket.AF_INET
        with sender.entered():
            client = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        with receiver.entered():
            server = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        client.bind((ends[0], 0))
        client.connect((ends[1], PORTS[kind]))
        server.bind((ends[1], PORTS[kind]))
        return cls(kind, client, server)

    def turn(self) -> None:
        """Send one packet more, and take what has come."""
        began = time.monotonic()
        with suppress(OSError):
            self.client.send(len(self.sent).to_bytes(8))
        self.sent.append((began, time.monotonic()))
        with suppress(BlockingIOError):
            while True:
                data, peer = self.server.recvfrom(64)
                if self.kind == "established":
                    self.server.sendto(data, peer)
                else:
                    self.came.add(int.from_bytes(data))
        with suppress(OSError):
            while True:
                self.came.add(int.from_bytes(self.client.recv(64)))

    def close(self) -> None:
        self.client.close()
        self.server.close()


class Flows:
    """One flow of each kind and family between two pods, while the context lasts."""

    def __init__(self, sender: Namespace, receiver: Namespace, ends: list[tuple[str, str]]) -> None:
        self.flows = [Flow.open(kind, sender, receiver, pair) for pair in ends for kind in PORTS]
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="flows")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()
        for flow in self.flows:
            flow.close()

    def _run(self) -> None:
        while not self._stopped.wait(PERIOD):
            for flow in self.flows:
                flow.turn()

    async def arrive(self) -> None:
        """Wait until what was sent up to now is no longer on its way, and there is enough of it."""
        wanted = [max(len(flow.sent), 100) + FLIGHT for flow in self.flows]
        await eventually(
            lambda: all(len(flow.sent) > count for flow, count in zip(self.flows, wanted, strict=True))
        )

    @property
    def total(self) -> int:
        """How many packets were sent."""
        return sum(len(flow.sent) for flow in self.flows)

    def count(self, kind: Kind) -> int:
        """How many packets of a kind were sent."""
        return sum(len(flow.sent) for flow in self.flows if flow.kind == kind)

    def leaks(self, excused: list[Span]) -> int:
        """How many packets that must not pass did, but for those while somebody else held the door open."""
        return sum(
            not any(first <= ended and began <= last for first, last in excused)
            for flow in self.flows
            if flow.kind == "denied"
            for began, ended in map(flow.sent.__getitem__, list(flow.came))
        )

    def losses(self, since: float) -> list[Span]:
        """The times in which packets that must pass did not, from their first to their last one."""
        spans: list[Span] = []
        for flow in self.flows:
            if flow.kind == "denied":
                continue
            last = -2
            for number, (began, ended) in enumerate(flow.sent[:-FLIGHT]):
                if number in flow.came or began < since:
                    continue
                if number == last + 1:
                    spans[-1] = (spans[-1][0], ended)
                else:
                    spans.append((began, ended))
                last = number
        return spans
