"""Raw packets into the lab's namespaces, and what of them arrives where.

A pod has received what comes in at its interface. A node has received what its input hook let pass, so there
raw sockets listen, which the kernel serves behind that hook. Must not judge: that is the caller's business.
"""

from __future__ import annotations

import errno
import selectors
import socket
import struct
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from policyd.errors import EnvironmentRefused
from policyd.lab.namespace import Namespace
from tests.lab.packets import ICMP, ICMPV6, SCTP, TCP, UDP, read_body_mark, read_mark

_ETH_P_ALL = 3
_SOL_PACKET, _PACKET_STATISTICS, _PACKET_IGNORE_OUTGOING = 263, 6, 23
_SO_RCVBUFFORCE = 33
_IPV6_HDRINCL = 36
_BUFFER = 8 << 20
#: So many packets are sent before arrivals are read: fewer than fit into any socket's buffer.
_BURST = 64
#: A rule at the hook output says no to the sender itself.
_DENIED = (errno.EPERM, errno.EACCES)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A shot came to a namespace."""

    mark: int
    place: Namespace


class Wire:
    """Senders and ears in namespaces. Use it as a context manager."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._ears: defaultdict[Namespace, list[socket.socket]] = defaultdict(list)
        self._senders: dict[tuple[Namespace, int], socket.socket] = {}
        self._captures: dict[socket.socket, Namespace] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every socket. Idempotent."""
        for place in [*self._ears, *(place for place, _ in self._senders)]:
            self.forget(place)
        self._selector.close()

    def hear_interfaces(self, place: Namespace) -> None:
        """Count what comes in at the interfaces of a pod, or of the outside, as having arrived."""
        ear = self._open(place, socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_ALL))
        ear.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        self._captures[ear] = place
        self._add_ear(place, ear, None)

    def hear_input(self, place: Namespace, others: Sequence[int] = ()) -> None:
        """Count what passes a node's input hook: TCP, UDP, SCTP, ICMP and `others`, by number."""
        for version in (4, 6):
            family = socket.AF_INET if version == 4 else socket.AF_INET6
            for number in (TCP, UDP, SCTP, ICMP if version == 4 else ICMPV6, *others):
                ear = self._open(place, family, socket.SOCK_RAW, number)
                # An IPv4 raw socket gives the IP header too, an IPv6 one does not.
                self._add_ear(place, ear, None if version == 4 else number)

    def forget(self, place: Namespace) -> None:
        """Close every socket in a namespace: each of them keeps it alive."""
        for ear in self._ears.pop(place, ()):
            self._captures.pop(ear, None)
            self._selector.unregister(ear)
            ear.close()
        for version in (4, 6):
            if (sender := self._senders.pop((place, version), None)) is not None:
                sender.close()

    def send(self, origin: Namespace, packet: bytes) -> None:
        """Send one IP packet as a process of `origin` would; what its own output hook drops is gone."""
        version = packet[0] >> 4
        sender = self._senders.get((origin, version))
        if sender is None:
            sender = self._senders[origin, version] = self._open_sender(origin, version)
        destination = packet[16:20] if version == 4 else packet[24:40]
        address = socket.inet_ntop(socket.AF_INET if version == 4 else socket.AF_INET6, destination)
        try:
            sender.sendto(packet, (address, 0))
        except OSError as error:
            if error.errno not in _DENIED:
                raise EnvironmentRefused(
                    f"{origin.label} cannot send to {address}: {error.strerror}"
                ) from error

    def exchange(
        self,
        packets: Iterable[tuple[Namespace, bytes]],
        awaited: Iterable[Arrival] = (),
        seconds: float = 3.0,
        quiet: float = 0.03,
    ) -> set[Arrival]:
        """Send packets, each from its namespace, and give what arrived.

        Waits until all that is `awaited` has come, but no longer than `seconds`, and then until nothing more
        has come for `quiet` seconds.
        """
        arrived: set[Arrival] = set()
        for number, (origin, packet) in enumerate(packets, start=1):
            self.send(origin, packet)
            if number % _BURST == 0:
                self._hear(arrived, 0)
        missing = set(awaited)
        deadline = time.monotonic() + seconds
        while (missing := missing - arrived) and (left := deadline - time.monotonic()) > 0:
            self._hear(arrived, left)
        end = time.monotonic() + quiet
        while (left := end - time.monotonic()) > 0:
            count = len(arrived)
            self._hear(arrived, left)
            if len(arrived) > count:
                end = time.monotonic() + quiet
        self._check_overflow()
        return arrived

    def _hear(self, arrived: set[Arrival], seconds: float) -> None:
        """Read everything that is there, waiting so long for the first."""
        for key, _ in self._selector.select(seconds):
            place, ear, protocol = key.data
            with suppress(BlockingIOError):
                while True:
                    data = ear.recv(2048)
                    mark = read_mark(data) if protocol is None else read_body_mark(protocol, data)
                    if mark is not None:
                        arrived.add(Arrival(mark, place))

    def _open_sender(self, origin: Namespace, version: int) -> socket.socket:
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        sender = self._open(origin, family, socket.SOCK_RAW, socket.IPPROTO_RAW)
        if version == 6:
            sender.setsockopt(socket.IPPROTO_IPV6, _IPV6_HDRINCL, 1)
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        return sender

    def _open(self, place: Namespace, family: int, kind: int, protocol: int) -> socket.socket:
        with place.entered():
            opened = socket.socket(family, kind, protocol)
        opened.settimeout(0)
        return opened

    def _add_ear(self, place: Namespace, ear: socket.socket, protocol: int | None) -> None:
        self._ears[place].append(ear)
        try:
            ear.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        except PermissionError:
            ear.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        self._selector.register(ear, selectors.EVENT_READ, (place, ear, protocol))

    def _check_overflow(self) -> None:
        """Refuse a result in which an arrival that was not seen would be taken for a drop."""
        for ear, place in self._captures.items():
            _, lost = struct.unpack("II", ear.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
            if lost:
                raise EnvironmentRefused(f"{place.label}: {lost} packets came faster than they could be read")
