"""Has a bridge show its packets to the IP hooks by its own option, whatever the sysctls say.

Changes nothing else. Needs CAP_NET_ADMIN, and br_netfilter loaded: without it the option does nothing.
"""

from __future__ import annotations

import struct

from policyd.netlink.links import Link
from policyd.netlink.messages import ACK, REQUEST, ask, attribute, message, open_socket

_ROUTE, _NEW_LINK = 0, 16
_LINK = struct.Struct("=BxHiII")
_LINK_INFO, _KIND, _DATA = 18, 1, 2
_CALL_IPTABLES, _CALL_IP6TABLES = 36, 37


def show_packets(bridge: Link) -> None:
    """Set both options of a bridge. Raises OSError with the kernel's errno."""
    on = attribute(_CALL_IPTABLES, b"\x01") + attribute(_CALL_IP6TABLES, b"\x01")
    info = attribute(_KIND, b"bridge") + attribute(_DATA, on, nested=True)
    change = _LINK.pack(0, 0, bridge.index, 0, 0) + attribute(_LINK_INFO, info, nested=True)
    with open_socket(_ROUTE) as opened:
        list(ask(opened, message(_NEW_LINK, REQUEST | ACK, change)))
