"""Work in other network namespaces: one thread goes there and comes back. Needs CAP_SYS_ADMIN.

No namespace is held open longer than one piece of work takes, so that none outlives its pod by it.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from policyd.errors import EnvironmentRefused
from policyd.netlink.links import read_links
from policyd.netlink.messages import (
    DUMP,
    NETFILTER,
    REQUEST,
    ask,
    attributes,
    message,
    open_socket,
    understood,
)
from policyd.netlink.netfilter import read_generation
from policyd.threads import Threads

Given = ParamSpec("Given")
Result = TypeVar("Result")

_CLONE_NEWNET = 0x40000000
_OWN = "/proc/thread-self/ns/net"
_ROUTE, _GET_ADDRESS = 0, 22
_ADDRESS = struct.Struct("=BBBBI")
_IP, _LOCAL = 1, 2


class NoNamespace(EnvironmentRefused):
    """There is no such namespace any more, or not yet."""


@dataclass(frozen=True, slots=True)
class Look:
    """What is in a namespace: interfaces by address as (family, number), and how many transactions of nft
    there have been."""

    interfaces: dict[tuple[int, int], str]
    generation: int


class Inside:
    """The one thread that goes to other namespaces. Work is done in turn."""

    def __init__(self) -> None:
        self._threads = Threads("inside")

    async def run(
        self,
        netns: str,
        function: Callable[Given, Result],
        *arguments: Given.args,
        **named: Given.kwargs,
    ) -> Result:
        """Run a function in the namespace at this path.

        Raises NoNamespace if there is none, EnvironmentRefused where there is no way in, and what the
        function raises.
        """
        return await self._threads.run(_there, netns, lambda: function(*arguments, **named))


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


def look() -> Look:
    """What is in the namespace of the calling thread. Raises OSError."""
    with open_socket(NETFILTER) as opened:
        generation = read_generation(opened)
    names = {link.index: link.name for link in read_links()}
    found: dict[tuple[int, int], str] = {}
    with open_socket(_ROUTE) as opened:
        for version, family in ((4, socket.AF_INET), (6, socket.AF_INET6)):
            question = message(_GET_ADDRESS, REQUEST | DUMP, _ADDRESS.pack(family, 0, 0, 0, 0))
            for answer in ask(opened, question):
                with understood():
                    index = _ADDRESS.unpack_from(answer)[4]
                    fields = attributes(answer, _ADDRESS.size)
                packed = fields.get(_LOCAL, fields.get(_IP, b""))
                if packed and index in names:
                    found[version, int.from_bytes(packed)] = names[index]
    return Look(found, generation)
