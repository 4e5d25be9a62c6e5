"""What netfilter holds here, by name and by number: tables, chains, flowtables, connections. No contents.

A foreign rule or set may be of any size, and of a form that crashes an older library. Needs CAP_NET_ADMIN.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator

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
    understood,
)

_NFTABLES = 10 << 8
_GET_TABLE, _GET_CHAIN, _GET_FLOWTABLE = (_NFTABLES | number for number in (1, 4, 23))
_GET_GENERATION = _NFTABLES | 16
_COUNT_CONNECTIONS = 1 << 8 | 5
_FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
_TABLE, _NAME, _CHAIN_NAME = 1, 2, 3
_NUMBER = 1
_TRACKED, _MOST = 1, 2


def table_names() -> tuple[str, ...]:
    """`FAMILY NAME` of every table, sorted. Raises PermissionError, or OSError where there is no nftables."""
    with understood():
        return tuple(sorted(f"{family} {_text(fields[_TABLE])}" for family, fields in _list(_GET_TABLE)))


def flowtable_names() -> tuple[str, ...]:
    """`FAMILY TABLE NAME` of every flowtable, sorted. Raises as `table_names` does."""
    with understood():
        found = _list(_GET_FLOWTABLE)
        return tuple(sorted(f"{family} {_text(f[_TABLE])} {_text(f[_NAME])}" for family, f in found))


def chain_exists(family: str, table: str, chain: str) -> bool:
    """Whether there is such a chain; asked for by its name, as there may be ten thousand next to it."""
    number = next(n for n, name in _FAMILIES.items() if name == family)
    names = attribute(_TABLE, table.encode() + b"\0") + attribute(_CHAIN_NAME, chain.encode() + b"\0")
    question = message(_GET_CHAIN, REQUEST | ACK, bytes((number, 0, 0, 0)) + names)
    with open_socket(NETFILTER) as opened:
        try:
            return bool(list(ask(opened, question)))
        except OSError as error:
            if error.errno == errno.ENOENT:
                return False
            raise


def count_connections() -> tuple[int, int]:
    """How many connections are tracked here, and how many may be. Raises OSError where that is not known."""
    with open_socket(NETFILTER) as opened, understood():
        [answer] = ask(opened, message(_COUNT_CONNECTIONS, REQUEST | ACK, bytes(4)))
        fields = attributes(answer, 4)
        return int.from_bytes(fields[_TRACKED]), int.from_bytes(fields[_MOST])


def read_generation(opened: socket.socket) -> int:
    """How many transactions, modulo 2^32, there have been in this network namespace, by anybody.

    Raises OSError where the kernel does not list them.
    """
    with understood():
        [answer] = ask(opened, message(_GET_GENERATION, REQUEST | ACK, bytes(4)))
        return int.from_bytes(attributes(answer, 4)[_NUMBER])


def _list(question: int) -> Iterator[tuple[str, dict[int, bytes]]]:
    with open_socket(NETFILTER) as opened:
        for payload in ask(opened, message(question, REQUEST | DUMP, bytes((socket.AF_UNSPEC, 0, 0, 0)))):
            yield _FAMILIES.get(payload[0], str(payload[0])), attributes(payload, 4)


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode(errors="replace")
