"""Servers in the lab's namespaces: they say who they see, and then echo.

One thread serves all of them. A TCP server greets with one line, `ADDRESS PORT` of its peer, and then sends
back what it gets; a UDP server answers each datagram with that line and the datagram.
"""

from __future__ import annotations

import selectors
import socket
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address
from types import TracebackType
from typing import Literal, Self, TypeAlias

from policyd.errors import EnvironmentRefused
from policyd.lab.namespace import Namespace

Transport: TypeAlias = Literal["tcp", "udp"]
#: Connections kept open at once; the oldest goes first.
MOST_CONNECTIONS = 256
_CHUNK = 65536
_MORE, _END = b"m", b"e"
# More than probes come at once: past it the kernel forgets connections, and the peer waits in vain.
_BACKLOG = 1024


class Servers:
    """All servers of a lab. Use as a context manager, or `close`."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._incoming: deque[tuple[socket.socket, Callable[[socket.socket], None]]] = deque()
        self._connections: deque[socket.socket] = deque()
        self._open = True
        self._waker, self._woken = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ, self._wake_up)
        self._thread = threading.Thread(target=self._serve, name="lab servers", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def listen(self, namespace: Namespace, transport: Transport, address: str, port: int) -> None:
        """Serve a port of an address in a namespace. Raises EnvironmentRefused where that cannot be."""
        kind = socket.SOCK_STREAM if transport == "tcp" else socket.SOCK_DGRAM
        family = socket.AF_INET if ip_address(address).version == 4 else socket.AF_INET6
        with namespace.entered():
            server = socket.socket(family, kind)
        try:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind((address, port))
            if transport == "tcp":
                server.listen(_BACKLOG)
        except OSError as error:
            server.close()
            raise EnvironmentRefused(
                f"{namespace.label} cannot serve {transport} port {port} of {address}: {error.strerror}"
            ) from error
        server.settimeout(0)
        self._incoming.append((server, self._accept if transport == "tcp" else _answer))
        self._waker.send(_MORE)

    def close(self) -> None:
        """Close every server and connection. Idempotent."""
        if self._waker.fileno() < 0:
            return
        # To close the socket would wake nobody while another process holds it, too: each holds what was open
        # when it was forked, until it has begun its program.
        self._waker.send(_END)
        self._thread.join()
        self._waker.close()

    def _serve(self) -> None:
        try:
            while self._open:
                for key, _ in self._selector.select():
                    # An earlier event of this round may have closed it.
                    if isinstance(key.fileobj, socket.socket) and key.fileobj.fileno() >= 0:
                        key.data(key.fileobj)
        finally:
            for key in list(self._selector.get_map().values()):
                if isinstance(key.fileobj, socket.socket):
                    key.fileobj.close()
            self._selector.close()

    def _wake_up(self, woken: socket.socket) -> None:
        if _END in woken.recv(_CHUNK):
            self._open = False
        while self._incoming:
            server, react = self._incoming.popleft()
            self._selector.register(server, selectors.EVENT_READ, react)

    def _accept(self, server: socket.socket) -> None:
        with suppress(OSError):  # the peer may have gone already
            connection, peer = server.accept()
            connection.settimeout(0)
            self._selector.register(connection, selectors.EVENT_READ, self._echo)
            self._connections.append(connection)
            connection.send(_seen(peer))
        while len(self._connections) > MOST_CONNECTIONS:
            self._forget(self._connections[0])

    def _echo(self, connection: socket.socket) -> None:
        try:
            data = connection.recv(_CHUNK)
            if data:
                connection.send(data)
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self._forget(connection)

    def _forget(self, connection: socket.socket) -> None:
        self._selector.unregister(connection)
        self._connections.remove(connection)
        connection.close()


def _answer(server: socket.socket) -> None:
    with suppress(OSError):  # refusals of earlier answers come back here
        data, peer = server.recvfrom(_CHUNK)
        server.sendto(_seen(peer) + data, peer)


def _seen(peer: tuple[str, int]) -> bytes:
    return f"{peer[0]} {peer[1]}\n".encode()
