"""Connections that the kernel tracks: list those of some addresses, and forget single ones.

Must not touch a connection that it was not given: each is named by its own tuple, zone and id.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from policyd.errors import EnvironmentRefused
from policyd.netlink.messages import (
    ACK,
    DUMP,
    NETFILTER,
    REQUEST,
    ask,
    attribute,
    attributes,
    message,
    open_socket,
    pack,
    understood,
)

_GET, _DELETE = 1 << 8 | 1, 1 << 8 | 2
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_ORIGINAL, _REPLY, _STATUS, _ID, _ZONE = 1, 2, 3, 12, 18
_IP, _PROTOCOL = 1, 2
_SOURCE, _DESTINATION = {4: 1, 6: 3}, {4: 2, 6: 4}
_NUMBER, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3
_ICMP_TYPE = {4: 5, 6: 8}
_DNAT = 1 << 5
_PORT = struct.Struct("!H")
#: So many addresses are searched for faster than a connection is read.
_FEW = 16


@dataclass(frozen=True, slots=True)
class Flow:
    """A tracked connection as policy sees it: after DNAT, before SNAT. Addresses are integers.

    `source` opened it; `destination` and `port` are the backend's where a Service was asked. `source_port`
    and `port` are 0 where the protocol has none. `name` is what the kernel knows it by.
    """

    family: int
    protocol: int
    source: int
    source_port: int
    destination: int
    port: int
    dnat: bool
    icmp_type: int | None
    name: bytes


def asked_for(flow: Flow) -> tuple[int, int]:
    """The address and port that the first packet of a connection was for, before any DNAT."""
    with understood():
        original = attributes(attributes(flow.name)[_ORIGINAL])
        destination = attributes(original[_IP])[_DESTINATION[flow.family]]
        return int.from_bytes(destination), _port(attributes(original[_PROTOCOL]).get(_DESTINATION_PORT))


class Conntrack:
    """The connections of this network namespace. Raises EnvironmentRefused if no socket can be had."""

    def __init__(self) -> None:
        try:
            self._socket = open_socket(NETFILTER)
        except OSError as error:
            raise EnvironmentRefused(
                f"the kernel cannot be asked for its connections: {error.strerror or error}"
            ) from error

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()

    def list(self, addresses: Mapping[int, Collection[int]]) -> list[Flow]:
        """The connections of which either end is one of these addresses (by family).

        Raises EnvironmentRefused where the kernel does not list them.
        """
        found: list[Flow] = []
        try:
            for family, wanted in addresses.items():
                if wanted:
                    everything = message(_GET, REQUEST | DUMP, bytes((_FAMILIES[family], 0, 0, 0)))
                    texts = {address.to_bytes(4 if family == 4 else 16) for address in wanted}
                    with understood():
                        found.extend(_flows(family, ask(self._socket, everything), texts))
        except OSError as error:
            raise EnvironmentRefused(
                f"the kernel does not list its connections ({error.strerror or error}); "
                "it needs the module nf_conntrack_netlink, and CAP_NET_ADMIN"
            ) from error
        return found

    def forget(self, flow: Flow) -> bool:
        """Make the kernel forget a connection; False if it has done so already."""
        payload = bytes((_FAMILIES[flow.family], 0, 0, 0)) + flow.name
        try:
            for _ in ask(self._socket, message(_DELETE, REQUEST | ACK, payload)):
                pass
        except OSError as error:
            if error.errno == errno.ENOENT:
                return False
            raise EnvironmentRefused(
                f"the kernel does not forget a connection: {error.strerror or error}"
            ) from error
        return True


def _flows(family: int, payloads: Iterable[bytes], wanted: set[bytes]) -> Iterable[Flow]:
    # The kernel lists all that it tracks. Few addresses are looked for in the bytes first: to read them takes
    # ten times as long, and most connections are of others.
    few = tuple(wanted) if len(wanted) <= _FEW else ()
    for payload in payloads:
        if few and not any(text in payload for text in few):
            continue
        fields = attributes(payload, 4)
        original = attributes(fields[_ORIGINAL])
        reply = attributes(fields[_REPLY])
        source = attributes(original[_IP])[_SOURCE[family]]
        backend = attributes(reply[_IP])[_SOURCE[family]]
        if source not in wanted and backend not in wanted:
            continue
        protocol, answering = attributes(original[_PROTOCOL]), attributes(reply[_PROTOCOL])
        icmp = protocol.get(_ICMP_TYPE[family])
        name = attribute(_ORIGINAL, fields[_ORIGINAL], nested=True)
        name += pack({kind: fields[kind] for kind in (_ZONE, _ID) if kind in fields})
        yield Flow(
            family,
            protocol[_NUMBER][0],
            int.from_bytes(source),
            _port(protocol.get(_SOURCE_PORT)),
            int.from_bytes(backend),
            _port(answering.get(_SOURCE_PORT)),
            bool(int.from_bytes(fields.get(_STATUS, b"\0\0\0\0")) & _DNAT),
            icmp[0] if icmp else None,
            name,
        )


def _port(value: bytes | None) -> int:
    return 0 if value is None else _PORT.unpack(value)[0]
