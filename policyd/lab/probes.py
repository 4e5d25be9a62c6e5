"""Connections from the lab's namespaces, many at once: who answers, who refuses, who is silent.

Bounded in number and time: a probe that nobody answers costs the timeout, and all of them wait together.
"""

from __future__ import annotations

import errno
import selectors
import socket
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal, TypeAlias

from policyd.lab.namespace import Namespace
from policyd.lab.servers import Transport

#: Sockets open at once: with the servers' it stays under the usual limit of 1024 files.
MOST_AT_ONCE = 400

Result: TypeAlias = Literal["answered", "refused", "silent", "unreachable"]
_REFUSED = (errno.ECONNREFUSED, errno.ECONNRESET, errno.EPIPE)


@dataclass(frozen=True, slots=True)
class Probe:
    """One connection to try, from a namespace to a server's port; `source_address` may be left open."""

    source: Namespace
    address: str
    transport: Transport
    port: int
    source_address: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a probe; `seen_as` is the source address that the server saw, where one answered.

    refused: the other end says no (TCP reset, port unreachable). unreachable: something on the way says so.
    silent: nobody said anything in time, as when a packet is dropped.
    """

    result: Result
    seen_as: str = ""

    @property
    def reached(self) -> bool:
        """Whether the packet came to its destination and the answer came back."""
        return self.result in ("answered", "refused")


def probe_all(probes: Sequence[Probe], seconds: float = 1.5) -> list[Outcome]:
    """Try every probe, `seconds` each, and give the outcomes in the same order.

    The kernel sends a SYN again after one second: with more than that a single loss, or an error that came
    too early for the kernel to take notice, does not decide.
    """
    outcomes: list[Outcome] = [Outcome("silent")] * len(probes)
    waiting = deque(enumerate(probes))
    with selectors.DefaultSelector() as selector:
        deadlines: deque[tuple[float, int, socket.socket]] = deque()
        try:
            while waiting or deadlines:
                while waiting and len(selector.get_map()) < MOST_AT_ONCE:
                    number, probe = waiting.popleft()
                    opened = _open(probe)
                    if isinstance(opened, Outcome):
                        outcomes[number] = opened
                        continue
                    selector.register(opened, selectors.EVENT_READ, (number, opened))
                    deadlines.append((time.monotonic() + seconds, number, opened))
                _collect(selector, outcomes, deadlines)
        finally:
            for _, _, opened in deadlines:
                opened.close()
    return outcomes


def _open(probe: Probe) -> socket.socket | Outcome:
    """Begin a connection, or say why there will be none."""
    kind = socket.SOCK_STREAM if probe.transport == "tcp" else socket.SOCK_DGRAM
    family = socket.AF_INET if ip_address(probe.address).version == 4 else socket.AF_INET6
    with probe.source.entered():
        opened = socket.socket(family, kind | socket.SOCK_NONBLOCK)
    try:
        if probe.source_address:
            opened.bind((probe.source_address, 0))
        code = opened.connect_ex((probe.address, probe.port))
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, "")
        if probe.transport == "udp":
            opened.send(b"policyd probe\n")
    except OSError as error:
        opened.close()
        return _refusal(error.errno or 0)
    return opened


def _collect(
    selector: selectors.BaseSelector,
    outcomes: list[Outcome],
    deadlines: deque[tuple[float, int, socket.socket]],
) -> None:
    """Wait for one answer at least, or the first deadline."""
    while deadlines and deadlines[0][2].fileno() < 0:
        deadlines.popleft()
    if not deadlines:
        return
    now = time.monotonic()
    for key, _ in selector.select(max(0.0, deadlines[0][0] - now)):
        number, opened = key.data
        if (outcome := _read(opened)) is not None:
            outcomes[number] = outcome
            selector.unregister(opened)
            opened.close()
    while deadlines and (deadlines[0][2].fileno() < 0 or deadlines[0][0] <= time.monotonic()):
        _, _, opened = deadlines.popleft()
        if opened.fileno() >= 0:
            selector.unregister(opened)
            opened.close()


def _read(opened: socket.socket) -> Outcome | None:
    """The outcome; None where there is none yet."""
    try:
        line = opened.recv(256).partition(b"\n")[0].decode(errors="replace")
    except BlockingIOError:
        # An ICMP error that comes while the kernel still sends the SYN is kept here, and the SYN sent again.
        code = opened.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return _refusal(code) if code else None
    except OSError as error:
        return _refusal(error.errno or 0)
    return Outcome("answered", line.partition(" ")[0]) if line else Outcome("refused")


def _refusal(code: int) -> Outcome:
    return Outcome("refused" if code in _REFUSED else "unreachable")
