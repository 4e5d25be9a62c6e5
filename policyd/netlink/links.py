"""The node's network interfaces, and by which of them an address is reached: questions to rtnetlink.

Asks about this network namespace, whatever /sys shows, and changes nothing. None of it needs a privilege.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from policyd.netlink.messages import (
    ACK,
    DUMP,
    REQUEST,
    ask,
    attribute,
    attributes,
    message,
    messages,
    open_socket,
    understood,
)

_ROUTE, _SOL_NETLINK, _ADD_MEMBERSHIP, _GROUP_LINK = 0, 270, 1, 1
_GET_LINK, _GET_ROUTE, _GET_FILTER = 18, 26, 46
_LINK = struct.Struct("=BxHiII")
_ROUTING = struct.Struct("=BBBBBBBBI")
_TRAFFIC = struct.Struct("=BxHiIII")
_NAME, _PEER, _MASTER, _LINK_INFO, _STATISTICS, _PEER_NETNS = 3, 5, 10, 18, 23, 37
_KIND, _OF_LINK, _OF_PORT = 1, 2, 5
_CALL_IPTABLES, _CALL_IP6TABLES, _ISOLATED = 36, 37, 33
_TUNNEL_PORTS = {"vxlan": 15, "geneve": 5}
_DESTINATION, _INTERFACE, _GATEWAY, _VIA = 1, 4, 5, 18
_UNICAST = 1
#: Where `tc filter add dev NAME ingress` puts a program, with the queueing discipline clsact.
_CLSACT_INGRESS = 0xFFFF_FFF2


@dataclass(frozen=True, slots=True)
class Link:
    """A network interface. `kind` is as `ip -d link` has it, empty for hardware; `master` is an index or 0.

    Of a bridge, `calls_iptables` and `calls_ip6tables` say that its own option shows its packets to the IP
    hooks, whatever the sysctls say. `isolated` is of a bridge's port. `received` counts packets. Of a veth
    whose other end is in another network namespace, `peer` is that end's index and `netns` the number by
    which this namespace knows the other. Of a VXLAN or Geneve device `tunnel` is the UDP port.
    """

    index: int
    name: str
    kind: str = ""
    master: int = 0
    isolated: bool = False
    calls_iptables: bool = False
    calls_ip6tables: bool = False
    received: int = 0
    peer: int = 0
    netns: int | None = None
    tunnel: int = 0


@dataclass(frozen=True, slots=True)
class Way:
    """How an address is reached: by the link with this index, through a gateway or not."""

    link: int
    gateway: bool = False


def read_links() -> tuple[Link, ...]:
    """All interfaces of this network namespace, by index."""
    with open_socket(_ROUTE) as opened:
        question = message(_GET_LINK, REQUEST | DUMP, _LINK.pack(0, 0, 0, 0, 0))
        with understood():
            return tuple(sorted(map(_link, ask(opened, question)), key=lambda link: link.index))


def read_link(index: int) -> Link | None:
    """The interface with this index; None if there is none."""
    with open_socket(_ROUTE) as opened:
        try:
            with understood():
                [answer] = ask(opened, message(_GET_LINK, REQUEST | ACK, _LINK.pack(0, 0, index, 0, 0)))
                return _link(answer)
        except OSError as error:
            if error.errno == errno.ENODEV:
                return None
            raise


def open_link_listener() -> socket.socket:
    """A socket that is notified of links that come, go and change, without waiting. Raises OSError."""
    opened = open_socket(_ROUTE)
    opened.setblocking(False)  # noqa: FBT003 the standard library's signature
    opened.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, _GROUP_LINK)
    return opened


def heard_links(listener: socket.socket) -> frozenset[int] | None:
    """The indexes of the links that were notified since the last call; None if some were lost.

    Then the socket may have more, and is readable still.
    """
    found: set[int] = set()
    while True:
        try:
            data = listener.recv(1 << 16)
            with understood():
                found.update(_LINK.unpack_from(each.payload)[2] for each in messages(data))
        except BlockingIOError:
            return frozenset(found)
        except OSError:
            return None


def read_ways(addresses: Iterable[str]) -> dict[str, Way]:
    """For each address how packets to it leave this node; those that do not leave it are missing."""
    found: dict[str, Way] = {}
    with open_socket(_ROUTE) as opened:
        for address in addresses:
            way = _way(opened, address)
            if way is not None:
                found[address] = way
    return found


def read_programmed(links: Iterable[Link]) -> frozenset[int]:
    """The indexes of those links on which an eBPF program meets packets first, by way of `tc`.

    Programs attached by TCX cannot be seen without CAP_BPF: not seen is not absent.
    """
    with open_socket(_ROUTE) as opened:
        return frozenset(link.index for link in links if _is_programmed(opened, link.index))


def _link(payload: bytes) -> Link:
    index = _LINK.unpack_from(payload)[2]
    fields = attributes(payload, _LINK.size)
    info = attributes(fields.get(_LINK_INFO, b""))
    of_link, of_port = attributes(info.get(_OF_LINK, b"")), attributes(info.get(_OF_PORT, b""))
    kind = _text(info.get(_KIND, b""))
    return Link(
        index,
        _text(fields.get(_NAME, b"")),
        kind,
        struct.unpack("=I", fields.get(_MASTER, bytes(4)))[0],
        isolated=_is_on(of_port, _ISOLATED),
        calls_iptables=kind == "bridge" and _is_on(of_link, _CALL_IPTABLES),
        calls_ip6tables=kind == "bridge" and _is_on(of_link, _CALL_IP6TABLES),
        received=struct.unpack_from("=Q", fields[_STATISTICS])[0] if _STATISTICS in fields else 0,
        peer=struct.unpack("=I", fields.get(_PEER, bytes(4)))[0],
        netns=struct.unpack("=i", fields[_PEER_NETNS])[0] if _PEER_NETNS in fields else None,
        tunnel=int.from_bytes(of_link.get(_TUNNEL_PORTS[kind], b"")) if kind in _TUNNEL_PORTS else 0,
    )


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode(errors="replace")


def _is_on(fields: Mapping[int, bytes], kind: int) -> bool:
    return any(fields.get(kind, b""))


def _way(opened: socket.socket, address: str) -> Way | None:
    parsed = ip_address(address)
    family = socket.AF_INET if parsed.version == 4 else socket.AF_INET6
    payload = _ROUTING.pack(family, parsed.max_prefixlen, 0, 0, 0, 0, 0, 0, 0)
    payload += attribute(_DESTINATION, parsed.packed)
    try:
        # To the end, with the acknowledgement: what is left unread would answer the next question.
        with understood():
            [answer] = ask(opened, message(_GET_ROUTE, REQUEST | ACK, payload))
    except OSError:  # no route
        return None
    with understood():
        fields = attributes(answer, _ROUTING.size)
        if _ROUTING.unpack_from(answer)[7] != _UNICAST or _INTERFACE not in fields:
            return None
        gateway = _GATEWAY in fields or _VIA in fields
        return Way(struct.unpack("=i", fields[_INTERFACE])[0], gateway)


def _is_programmed(opened: socket.socket, index: int) -> bool:
    payload = _TRAFFIC.pack(0, 0, index, 0, _CLSACT_INGRESS, 0)
    try:
        answers = list(ask(opened, message(_GET_FILTER, REQUEST | DUMP, payload)))
    except OSError:  # the link has gone, or the kernel has no traffic control
        return False
    return any(_text(attributes(answer, _TRAFFIC.size).get(_KIND, b"")) == "bpf" for answer in answers)
