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

PERIOD = 0.01
#: What was sent so recently may still be on its way.
FLIGHT = 0.5

Kind: TypeAlias = Literal["denied", "allowed", "established"]
PORTS: dict[Kind, int] = {"denied": 1001, "allowed": 2002, "established": 3003}
Span: TypeAlias = tuple[float, float]


@dataclass(slots=True)
class Flow:
    """UDP from one pod to another. Only what is `established` is answered: else each packet is new."""

    kind: Kind
    client: socket.socket
    server: socket.socket
    sent: list[float] = field(default_factory=list)
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
        with suppress(OSError):
            self.client.send(len(self.sent).to_bytes(8))
        self.sent.append(time.monotonic())
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
            not any(first <= flow.sent[number] <= last for first, last in excused)
            for flow in self.flows
            if flow.kind == "denied"
            for number in flow.came
        )

    def losses(self, since: float) -> list[Span]:
        """The times in which packets that must pass did not, from their first to their last one."""
        end = time.monotonic() - FLIGHT
        spans: list[Span] = []
        for flow in self.flows:
            if flow.kind == "denied":
                continue
            last = -2
            for number, sent in enumerate(flow.sent):
                if number in flow.came or not since <= sent <= end:
                    continue
                if number == last + 1:
                    spans[-1] = (spans[-1][0], sent)
                else:
                    spans.append((sent, sent))
                last = number
        return spans
