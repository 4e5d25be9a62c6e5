"""One agent for a table and a network namespace: who comes second refuses.

The claim is a netfilter queue that no rule fills. The kernel gives a queue to one socket of the network
namespace, in which the table lives, too, whatever files and mounts there are; only to who has CAP_NET_ADMIN
there, and so might write the ruleset anyway; and takes it back when the socket is gone, however that ends.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from pathlib import Path
from zlib import crc32

from policyd.errors import EnvironmentRefused
from policyd.netlink.messages import ACK, NETFILTER, REQUEST, ask, attribute, message, open_socket

_CONFIGURE_QUEUE = 3 << 8 | 2
_COMMAND, _BIND = 1, bytes((1, 0, 0, 0))
_QUEUES = Path("/proc/thread-self/net/netfilter/nfnetlink_queue")
#: Programs that use queues count theirs from 0.
_FIRST, _COUNT = 50_000, 10_000
#: What kernels say that have no queues.
_ABSENT = (errno.EINVAL, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT)
#: Ids of processes; the kernel gives greater ids to sockets that are not the first of their process.
_PROCESSES = 1 << 22


def claim_node(table: str) -> socket.socket:
    """Take the place of the one agent for a table; hold it as long as the socket is open.

    Raises EnvironmentRefused when the place is taken, or nobody without privileges may take it.
    """
    try:
        place = open_socket(NETFILTER)
    except OSError as error:
        raise _refused(table, error) from error
    queue = bytes((socket.AF_UNSPEC, 0)) + queue_of(table).to_bytes(2) + attribute(_COMMAND, _BIND)
    try:
        list(ask(place, message(_CONFIGURE_QUEUE, REQUEST | ACK, queue)))
    except OSError as error:
        place.close()
        if error.errno in _ABSENT:
            return _claim_socket(table)
        if _queue_owner(table) is not None:
            raise _taken(table, holder(table)) from error
        raise _refused(table, error) from error
    return place


def queue_of(table: str) -> int:
    """The queue that stands for the agent of a table."""
    return _FIRST + crc32(table.encode()) % _COUNT


def holder(table: str) -> str:
    """Who enforces a table here, for a sentence: ` (process 7)`. Empty if nobody does, or it is not known."""
    owner = _queue_owner(table)
    if owner is not None:
        return f" (process {owner})" if owner < _PROCESSES else f" (netfilter queue {queue_of(table)})"
    pid, uid = _socket_holder(table)
    return f" (process {pid})" if uid in _trusted() else ""


def _queue_owner(table: str) -> int | None:
    """The id of the socket that has the table's queue, which is mostly that of its process."""
    try:
        rows = [line.split() for line in _QUEUES.read_text().splitlines()]
    except OSError:
        return None
    return next((int(row[1]) for row in rows if row[0] == str(queue_of(table))), None)


def _taken(table: str, who: str) -> EnvironmentRefused:
    return EnvironmentRefused(
        f"another policyd{who} already enforces table inet {table} on this node; stop it first"
    )


def _refused(table: str, error: OSError) -> EnvironmentRefused:
    return EnvironmentRefused(
        f"this node cannot be claimed for table inet {table} ({os.strerror(error.errno or 0).lower()}): "
        "that needs root or CAP_NET_ADMIN in the network namespace"
    )


def _claim_socket(table: str) -> socket.socket:
    """The same by an abstract socket, which lives in the network namespace, too.

    Anybody can have its name, so only root, or who we are ourselves, counts as an agent.
    """
    place = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        place.bind(_socket_name(table))
    except OSError as error:
        pid, uid = _socket_holder(table)
        if uid in _trusted():
            place.close()
            raise _taken(table, f" (process {pid})") from error
        return place  # without the name: somebody has it who enforces nothing
    place.listen(1)
    return place


def _trusted() -> tuple[int, ...]:
    return (0, os.geteuid())


def _socket_holder(table: str) -> tuple[int, int]:
    """The process and the user that have the socket; (0, -1) if nobody has."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
            other.settimeout(1)
            other.connect(_socket_name(table))
            pid, uid, _ = struct.unpack("3i", other.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    except OSError:
        return 0, -1
    return pid, uid


def _socket_name(table: str) -> str:
    return f"\0policyd/{table}"
