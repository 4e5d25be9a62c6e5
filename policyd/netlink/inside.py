"""Work in other network namespaces: one thread goes there and comes back. Needs CAP_SYS_ADMIN.

A socket keeps its namespace from going, so none is held longer than some seconds behind its last use.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, TypeVar

from policyd.errors import EnvironmentRefused
from policyd.netlink.elements import ElementWriter
from policyd.netlink.links import read_links
from policyd.netlink.messages import (
    DUMP,
    REQUEST,
    ask,
    attributes,
    message,
    open_socket,
    understood,
)
from policyd.threads import Threads
from policyd_compiler.nft.commands import Change

Result = TypeVar("Result")
#: An address: its family, and itself as a number.
Address: TypeAlias = tuple[int, int]
#: For so long a socket stays in a namespace that it was used in.
KEEP_SECONDS = 1.0

_CLONE_NEWNET = 0x40000000
_OWN = "/proc/thread-self/ns/net"
_ROUTE, _GET_ADDRESS = 0, 22
_ADDRESS = struct.Struct("=BBBBI")
_IP, _LOCAL = 1, 2


class NoNamespace(EnvironmentRefused):
    """There is no such namespace any more, or not yet."""


@dataclass(slots=True)
class _Kept:
    """A socket in a namespace, by that namespace's number: another may have its path by now."""

    number: int
    writer: ElementWriter
    used: float = 0.0


class Inside:
    """The one thread that goes to other namespaces. Work is done in turn."""

    def __init__(self) -> None:
        self._threads = Threads("inside")
        self._writers: dict[str, _Kept] = {}

    async def interfaces(self, netns: str) -> dict[Address, str]:
        """The interface of each address in the namespace at this path.

        This and the next raise NoNamespace if there is none, EnvironmentRefused where there is no way in.
        """
        return await self.run(netns, read_interfaces)

    async def generation(self, netns: str) -> int:
        """How many transactions of nftables there have been in it."""
        return await self._threads.run(lambda: self._writer(netns).generation())

    async def run(self, netns: str, function: Callable[[], Result]) -> Result:
        """What a function gives that runs there."""
        return await self._threads.run(lambda: _there(netns, function))

    def write(self, netns: str, table: str, changes: Iterable[Change]) -> None:
        """Change elements there, as `ElementWriter` does. Blocks."""
        self._threads.wait(lambda: self._writer(netns).write(table, changes))

    async def rest(self, seconds: float = KEEP_SECONDS) -> None:
        """Let go of what has not been used for so long."""
        await self._threads.run(self._close_old, seconds)

    def _writer(self, netns: str) -> ElementWriter:
        """A socket there, kept for a while: to close one right behind a transaction waits for RCU."""
        try:
            number = Path(netns).stat().st_ino
        except OSError as error:
            raise NoNamespace(f"{netns}: {error.strerror}") from error
        kept = self._writers.get(netns)
        if kept is None or kept.number != number:
            if kept is not None:
                kept.writer.close()
            kept = _Kept(number, _there(netns, ElementWriter))
            self._writers[netns] = kept
        kept.used = time.monotonic()
        return kept.writer

    def _close_old(self, seconds: float) -> None:
        now = time.monotonic()
        for netns, kept in list(self._writers.items()):
            if now - kept.used >= seconds:
                kept.writer.close()
                del self._writers[netns]


def _there(netns: str, function: Callable[[], Result]) -> Result:
    try:
        home = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise EnvironmentRefused(f"{_OWN}: {error.strerror}") from error
    try:
        _enter(netns, home)
        try:
            return function()
        finally:
            # Should that fail, nothing else is ever done by this thread but to go somewhere first.
            with suppress(EnvironmentRefused):
                _setns(home)
    finally:
        os.close(home)


def _enter(netns: str, home: int) -> None:
    try:
        there = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise NoNamespace(f"{netns}: {error.strerror}") from error
    try:
        if os.path.sameopenfile(there, home):
            raise EnvironmentRefused(f"{netns} is the node's own network namespace")
        _setns(there)
    finally:
        os.close(there)


def _setns(namespace: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(namespace, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise EnvironmentRefused(
            f"the network namespace of a pod cannot be entered: {os.strerror(number)}; it takes CAP_SYS_ADMIN"
        )


def read_interfaces() -> dict[Address, str]:
    """The interface of each address of the namespace of the calling thread. Raises EnvironmentRefused."""
    try:
        return dict(_read_interfaces())
    except OSError as error:
        raise EnvironmentRefused(f"addresses cannot be read: {error.strerror or error}") from error


def _read_interfaces() -> Iterator[tuple[Address, str]]:
    names = {link.index: link.name for link in read_links()}
    with open_socket(_ROUTE) as opened:
        for version, family in ((4, socket.AF_INET), (6, socket.AF_INET6)):
            question = message(_GET_ADDRESS, REQUEST | DUMP, _ADDRESS.pack(family, 0, 0, 0, 0))
            for answer in ask(opened, question):
                with understood():
                    index = _ADDRESS.unpack_from(answer)[4]
                    fields = attributes(answer, _ADDRESS.size)
                packed = fields.get(_LOCAL, fields.get(_IP, b""))
                if packed and index in names:
                    yield (version, int.from_bytes(packed)), names[index]
