"""What TCP pays: a connection that is opened, and bytes over one, against connection tracking alone.

The namespaces and the worlds of `bench.datapath`. Both ends are sockets of this thread, so that all there is
runs one after another, on one processor: what counts is again the ratio within pairs of rounds.
"""

from __future__ import annotations

import ctypes
import os
import socket
import statistics
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TypeAlias

from bench.datapath import (
    ALONE,
    ROUNDS,
    SERVER,
    Family,
    Measured,
    clients_of_their_own,
    load_rules,
    namespaces,
    port_of_client,
    ratio,
    script_of,
)

CONNECTIONS = 2_000
BULK_BYTES = 256 << 20
_PIECE = 1 << 20
#: So long is waited for a connection.
SECONDS = 2.0
#: Closed at once: no end waits for stray packets of the last connection.
_LINGER = struct.pack("ii", 1, 0)

#: One round over sockets of the client's and the server's side: nanoseconds of one unit.
Round: TypeAlias = Callable[["Ends"], float]


class Ends:
    """The two ends: sockets are made in the namespace of either."""

    def __init__(self, client: str, server: str, family: Family, port: int) -> None:
        self._family = socket.AF_INET if family == 4 else socket.AF_INET6
        self._client = client
        self._address = (SERVER[family == 6], port)
        with _inside(server):
            self._listener = socket.socket(self._family, socket.SOCK_STREAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.settimeout(SECONDS)
        self._listener.bind(("", port))
        self._listener.listen(16)

    def connect(self) -> tuple[socket.socket, socket.socket]:
        """Open a connection: the client's end, the server's end. The thread must be inside `client`."""
        asking = socket.socket(self._family, socket.SOCK_STREAM)
        asking.settimeout(SECONDS)
        try:
            asking.connect(self._address)
            return asking, self._listener.accept()[0]
        except OSError:
            asking.close()
            raise

    def inside(self) -> AbstractContextManager[None]:
        """Sockets made inside are the client's."""
        return _inside(self._client)

    def close(self) -> None:
        """Listen no longer."""
        self._listener.close()


def connects(ends: Ends, count: int = CONNECTIONS) -> float:
    """Open and close connections, one after another: nanoseconds for each."""
    with ends.inside():
        began = time.perf_counter()
        for _ in range(count):
            for end in ends.connect():
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
                end.close()
        return (time.perf_counter() - began) / count * 1e9


def bulk(ends: Ends, size: int = BULK_BYTES) -> float:
    """Send bytes over one connection, and read them: nanoseconds for 1 024 of them."""
    with ends.inside():
        asking, serving = ends.connect()
    data, into = memoryview(bytes(_PIECE)), bytearray(_PIECE)
    with asking, serving:
        for end in (asking, serving):
            end.settimeout(0)
        sent = received = 0
        began = time.perf_counter()
        while received < size:
            with suppress(BlockingIOError):
                sent += asking.send(data[: size - sent]) if sent < size else 0
            with suppress(BlockingIOError):
                received += serving.recv_into(into)
        return (time.perf_counter() - began) / size * 1024 * 1e9


def measure(
    round_of: Round, policies: int, family: Family = 4, *, rounds: int = ROUNDS, port: int | None = None
) -> Measured:
    """Nanoseconds of what `round_of` counts, in pairs: with connection tracking alone, and with policies.

    `port`: another one than that which is open. Raises TimeoutError where no connection is let through.
    """
    script = script_of(clients_of_their_own(policies))
    alone: list[float] = []
    judged: list[float] = []
    with namespaces() as (client, node, server):
        ends = Ends(client, server, family, port or port_of_client(policies))
        try:
            for _ in range(rounds):
                for rules, values in ((ALONE, alone), (script, judged)):
                    load_rules(node, rules)
                    values.append(round_of(ends))
        finally:
            ends.close()
    return alone[1:], judged[1:]  # the first round warms up


@contextmanager
def _inside(namespace: str) -> Iterator[None]:
    """This thread makes sockets in another network namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        assert libc.setns(there, 0) == 0, os.strerror(ctypes.get_errno())
        yield
    finally:
        assert libc.setns(home, 0) == 0
        os.close(home)
        os.close(there)


if __name__ == "__main__":
    for way in (connects, bulk):
        for family in (4, 6):
            alone, judged = measure(way, 1_000, family)
            print(
                f"IPv{family}, {way.__name__}: alone {statistics.median(alone):.0f} ns, judged "
                f"{statistics.median(judged):.0f} ns, ratio {ratio(alone, judged):.3f}"
            )
