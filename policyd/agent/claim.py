"""One agent for a table and a network namespace: who comes second refuses."""

from __future__ import annotations

import socket
import struct

from policyd.errors import EnvironmentRefused


def claim_node(table: str) -> socket.socket:
    """Take the place of the one agent for a table; hold it as long as the socket is open.

    An abstract socket lives in the network namespace, as the table does: two agents meet wherever their
    files are, and a killed one leaves nothing. Raises EnvironmentRefused when the place is taken.
    """
    place = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        place.bind(_name(table))
    except OSError as error:
        place.close()
        raise EnvironmentRefused(
            f"another policyd{holder(table)} already enforces table inet {table} on this node; stop it first"
        ) from error
    place.listen(1)
    return place


def holder(table: str) -> str:
    """Who enforces a table here, for a sentence: ` (process 7, user 0)`. Empty if nobody does."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
            other.settimeout(1)
            other.connect(_name(table))
            pid, uid, _ = struct.unpack("3i", other.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    except OSError:
        return ""
    return f" (process {pid}, user {uid})"


def _name(table: str) -> str:
    return f"\0policyd/{table}"
