"""Stand-ins for Istio's two proxies, as programs: `proxy.py sidecar`, `proxy.py ztunnel ADDRESS…`.

They do with packets what Envoy and ztunnel do: they ask where a redirected connection went to, and connect
from the addresses, as the user and with the marks, by which Istio's rules know them. There is no TLS, and
instead of HBONE a line that names a port. Run as root in a pod's network namespace; needs nothing but Python.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import threading
from collections.abc import Callable
from contextlib import closing, suppress

OUTBOUND, INBOUND, HBONE = 15001, 15006, 15008
#: By which ztunnel's own sockets are known.
MARK = 0x539
#: What a sidecar runs as, which its rules pass over.
USER = 1337
_SO_MARK, _TRANSPARENT4, _TRANSPARENT6, _ORIGINAL = 36, 19, 75, 80
#: From where a sidecar connects to its own pod.
_FROM = {socket.AF_INET: "127.0.0.6", socket.AF_INET6: "::6"}
_FAMILIES = (socket.AF_INET, socket.AF_INET6)
_SECONDS = 2.0
#: For a client that is gone before the server has answered.
_CHUNK = 4096


def asked_for(opened: socket.socket) -> tuple[str, int]:
    """Where a redirected connection went to."""
    if opened.family == socket.AF_INET:
        found = opened.getsockopt(socket.SOL_IP, _ORIGINAL, 16)
        return socket.inet_ntoa(found[4:8]), struct.unpack("!H", found[2:4])[0]
    found = opened.getsockopt(socket.IPPROTO_IPV6, _ORIGINAL, 28)
    return socket.inet_ntop(socket.AF_INET6, found[8:24]), struct.unpack("!H", found[2:4])[0]


def connect(family: int, to: tuple[str, int], source: str = "", *, marked: bool = False) -> socket.socket:
    """Connect, from this source, which need not be an address of the pod if the connection is marked."""
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        if marked:
            opened.setsockopt(socket.SOL_SOCKET, _SO_MARK, MARK)
            if family == socket.AF_INET:
                opened.setsockopt(socket.SOL_IP, _TRANSPARENT4, 1)
            else:
                opened.setsockopt(socket.IPPROTO_IPV6, _TRANSPARENT6, 1)
        if source:
            opened.bind((source, 0))
        opened.settimeout(_SECONDS)
        opened.connect(to)
        opened.settimeout(None)
    except OSError:
        opened.close()
        raise
    return opened


def carry(one: socket.socket, other: socket.socket) -> None:
    """Carry both ways what two connections say, until either ends."""
    back = threading.Thread(target=_carry, args=(other, one), daemon=True)
    back.start()
    _carry(one, other)
    back.join()


def _carry(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(_CHUNK):
            sink.sendall(data)
    for each in (source, sink):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


class Sidecar:
    """Envoy next to one application, as user 1337."""

    def outbound(self, client: socket.socket) -> socket.socket:
        """To where the application connects."""
        return connect(client.family, asked_for(client))

    def inbound(self, client: socket.socket) -> socket.socket:
        """To the application: nothing but the pod knows this source."""
        return connect(client.family, asked_for(client), _FROM[client.family])

    def ports(self) -> dict[int, Callable[[socket.socket], socket.socket]]:
        """What it listens on."""
        return {OUTBOUND: self.outbound, INBOUND: self.inbound}


class Ztunnel:
    """The node's proxy, with its sockets in the pod: it reaches `members` of the mesh by one port."""

    def __init__(self, members: list[str]) -> None:
        self._members = frozenset(members)

    def outbound(self, client: socket.socket) -> socket.socket:
        """To the pod's ztunnel if it is a member, saying which port was meant."""
        address, port = asked_for(client)
        if address not in self._members:
            return connect(client.family, (address, port), client.getpeername()[0], marked=True)
        opened = connect(client.family, (address, HBONE), client.getpeername()[0], marked=True)
        opened.sendall(f"{port}\n".encode())
        return opened

    def inbound(self, client: socket.socket) -> socket.socket:
        """What is not of the mesh, to the application as it came."""
        return connect(client.family, asked_for(client), client.getpeername()[0], marked=True)

    def hbone(self, client: socket.socket) -> socket.socket:
        """What came for a port, to it, from who has sent it."""
        line = b""
        while not line.endswith(b"\n"):
            if not (more := client.recv(1)):
                raise ConnectionResetError
            line += more
        to = client.getsockname()[0], int(line)
        return connect(client.family, to, client.getpeername()[0], marked=True)

    def ports(self) -> dict[int, Callable[[socket.socket], socket.socket]]:
        """What it listens on."""
        return {OUTBOUND: self.outbound, INBOUND: self.inbound, HBONE: self.hbone}


def _answer(client: socket.socket, onward: Callable[[socket.socket], socket.socket]) -> None:
    """One connection. Whoever is not let through to its end hears nothing but that it has ended."""
    with closing(client), suppress(OSError, ValueError), closing(onward(client)) as server:
        carry(client, server)


def _serve(listening: socket.socket, onward: Callable[[socket.socket], socket.socket]) -> None:
    while True:
        client, _ = listening.accept()
        threading.Thread(target=_answer, args=(client, onward), daemon=True).start()


def main(kind: str, members: list[str]) -> None:
    """Serve until somebody closes standard input."""
    if kind == "sidecar":
        os.setgid(USER)
        os.setuid(USER)
    proxy = Sidecar() if kind == "sidecar" else Ztunnel(members)
    for port, onward in proxy.ports().items():
        for family in _FAMILIES:
            listening = socket.socket(family, socket.SOCK_STREAM)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if kind == "ztunnel":
                listening.setsockopt(socket.SOL_SOCKET, _SO_MARK, MARK)
            listening.bind(("", port))
            listening.listen(64)
            threading.Thread(target=_serve, args=(listening, onward), daemon=True).start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
