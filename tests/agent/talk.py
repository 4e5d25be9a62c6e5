"""Conversations that go on: echo servers, clients that ask and ask, and when each was last answered."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from policyd.lab.namespace import Namespace
from tests.support.waiting import DEADLINE

PERIOD = 0.02
_NUMBER = struct.Struct("!I")


def family_of(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


class Echo:
    """A TCP and a UDP echo server on one port of an address, until closed."""

    def __init__(self, namespace: Namespace, address: str, port: int) -> None:
        with namespace.entered():
            self._listener = socket.create_server((address, port), family=family_of(address))
            self._datagrams = socket.socket(family_of(address), socket.SOCK_DGRAM)
            self._datagrams.bind((address, port))
        for each in (self._listener, self._datagrams):
            each.settimeout(PERIOD)
        self._open = True
        self._accepted: list[socket.socket] = []
        self._echoing: list[threading.Thread] = []
        self._serving = [_started(self._accept), _started(self._answer)]

    def close(self) -> None:
        """End the threads, then close: what one waits on could be another file's number by then."""
        self._open = False
        for thread in self._serving:
            thread.join()
        for connection in self._accepted:
            with suppress(OSError):  # the client may have ended it
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._echoing:
            thread.join()
        for each in (self._listener, self._datagrams, *self._accepted):
            each.close()

    def _accept(self) -> None:
        while self._open:
            with suppress(TimeoutError):
                connection, _ = self._listener.accept()
                connection.settimeout(None)
                self._accepted.append(connection)
                self._echoing.append(_started(partial(self._echo, connection)))

    def _echo(self, connection: socket.socket) -> None:
        try:
            while data := connection.recv(64):
                connection.sendall(data)
        except OSError:
            return

    def _answer(self) -> None:
        while self._open:
            with suppress(OSError):  # nothing came in time, or the answer was refused
                data, sender = self._datagrams.recvfrom(64)
                self._datagrams.sendto(data, sender)


def _started(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


class Pusher:
    """A UDP server that sends to who spoke to it last, a thousand times a second; or, quiet, only answers."""

    def __init__(self, namespace: Namespace, address: str, port: int) -> None:
        with namespace.entered():
            self._socket = socket.socket(family_of(address), socket.SOCK_DGRAM)
            self._socket.bind((address, port))
        self._socket.settimeout(0.001)
        self.quiet = False
        self._open = True
        self._thread = threading.Thread(target=self._push, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._open = False
        self._thread.join()
        self._socket.close()

    def _push(self) -> None:
        said, receiver = b"", None
        while self._open:
            heard = False
            with suppress(OSError):
                said, receiver = self._socket.recvfrom(64)
                heard = True
            if receiver is not None and (heard or not self.quiet):
                with suppress(OSError):
                    self._socket.sendto(said, receiver)


class Talk:
    """A client that asks every PERIOD on one connection; each question is a number, its echo the answer."""

    def __init__(self, namespace: Namespace, kind: socket.SocketKind, address: str, port: int) -> None:
        with namespace.entered():
            self._socket = socket.socket(family_of(address), kind)
            self._socket.settimeout(DEADLINE)
            self._socket.connect((address, port))
        self._socket.setblocking(False)
        self.asked = 0
        self.answered: set[int] = set()
        self.heard = 0  # so much was asked when something last came
        self._rest = b""
        self._open = True
        self._thread = threading.Thread(target=self._talk, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._open = False
        self._thread.join()
        self._socket.close()

    def _talk(self) -> None:
        while self._open:
            with suppress(OSError):  # refused or full: not answered, then
                self._socket.send(self.asked.to_bytes(4))
            self.asked += 1
            time.sleep(PERIOD)
            with suppress(OSError):
                while received := self._socket.recv(4096):
                    self.heard = self.asked
                    self._rest += received
                    whole = len(self._rest) // 4 * 4
                    self.answered.update(number for (number,) in _NUMBER.iter_unpack(self._rest[:whole]))
                    self._rest = self._rest[whole:]
