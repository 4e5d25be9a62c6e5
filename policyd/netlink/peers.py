"""What is at the other end of a pod's veth: its addresses, asked of the kernel without entering the pod.

rtnetlink answers for another network namespace whose number this one knows (IFA_TARGET_NETNSID, kernel 4.20).
It wants CAP_NET_ADMIN over that namespace, which an agent in the initial user namespace has, and no more: no
setns, no /run/netns. It is no proof: a pod with CAP_NET_ADMIN gives itself any address.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from policyd.netlink.links import Link
from policyd.netlink.messages import (
    ACK,
    DUMP,
    REQUEST,
    ask,
    attribute,
    attributes,
    message,
    open_socket,
    understood,
)

_ROUTE = 0
_GET_LINK, _GET_ADDRESS = 18, 22
_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")
_SOL_NETLINK, _STRICT = 270, 12
#: Attributes: of a link its hardware address and the namespace asked about, of an address the same.
_MAC, _LINK_NETNS = 1, 46
_IP, _LOCAL, _ADDRESS_NETNS = 1, 2, 10
_MAC_BYTES = 6


@dataclass(frozen=True, slots=True)
class Peer:
    """A pod's end of a link: its addresses as (family, number), and its hardware address of 48 bits."""

    addresses: frozenset[tuple[int, int]]
    mac: int | None


def read_peers(links: Iterable[Link]) -> dict[int, Peer]:
    """The other ends of those links that lead into other namespaces, by the link's index.

    What cannot be read is missing: the pod has gone, the kernel is older, the agent lacks the privilege, or
    the answer is not what it should be. Raises OSError if there can be no socket.
    """
    found: dict[int, Peer] = {}
    with open_socket(_ROUTE) as opened:
        try:
            opened.setsockopt(_SOL_NETLINK, _STRICT, 1)
        except OSError:  # a kernel before 4.20
            return {}
        for link in links:
            if link.netns is None or not link.peer:
                continue
            try:
                with understood():
                    found[link.index] = _read(opened, link.netns, link.peer)
            except OSError:  # one pod's odd answer costs only its own binding
                continue
    return found


def _read(opened: socket.socket, netns: int, index: int) -> Peer:
    """Ask for one end. Raises OSError for a no; for an answer that is none what `understood` takes."""
    number = struct.pack("=i", netns)
    question = _LINK.pack(0, 0, index, 0, 0) + attribute(_LINK_NETNS, number)
    [answer] = ask(opened, message(_GET_LINK, REQUEST | ACK, question))
    if _LINK.unpack_from(answer)[2] != index:
        raise ValueError("the answer is about another link")
    mac = attributes(answer, _LINK.size).get(_MAC, b"")
    addresses = frozenset(_addresses(opened, number, index))
    return Peer(addresses, int.from_bytes(mac) if len(mac) == _MAC_BYTES else None)


def _addresses(opened: socket.socket, netns: bytes, index: int) -> Iterator[tuple[int, int]]:
    for version, family in ((4, socket.AF_INET), (6, socket.AF_INET6)):
        question = _ADDRESS.pack(family, 0, 0, 0, index) + attribute(_ADDRESS_NETNS, netns)
        for answer in ask(opened, message(_GET_ADDRESS, REQUEST | DUMP, question)):
            fields = attributes(answer, _ADDRESS.size)
            # Of a point-to-point link the first is the other side's.
            packed = fields.get(_LOCAL, fields.get(_IP, b""))
            if _ADDRESS.unpack_from(answer)[4] == index and packed:
                yield version, int.from_bytes(packed)
