"""Whether the network namespace of the calling thread is in Istio's ambient mesh: a question to rtnetlink.

The routing rule by which ztunnel's transparent connections are answered says so: istio-cni puts it into each
pod of the mesh, whether it redirects by nftables or by iptables, and takes it away with the pod's membership.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from ipaddress import ip_address
from typing import TypeAlias

from policyd.errors import EnvironmentRefused
from policyd.netlink.messages import DUMP, REQUEST, ask, attributes, message, open_socket, understood

#: Addresses by family, as numbers.
Probes: TypeAlias = Mapping[int, tuple[int, ...]]

#: What istio-cni makes the sources of the kubelet's probes in pods of the mesh, so that ztunnel leaves them.
PROBES: Probes = {
    4: (int(ip_address("169.254.7.127")),),
    6: (int(ip_address("fd16:9254:7127:1337:ffff:ffff:ffff:ffff")),),
}
#: `ip rule add fwmark 0x111/0xfff lookup 100` (cni/pkg/iptables/iptables_linux.go).
_RULE_MARK = (0x111, 0xFFF)

_ROUTE, _GET_RULE = 0, 34
_RULE = struct.Struct("=BBBBBBBBI")
_MARK, _MASK = 10, 16
_NUMBER = struct.Struct("=I")


def read_probes() -> Probes:
    """From where the kubelet's probes come besides the node's own addresses: nowhere, outside the mesh.

    Raises EnvironmentRefused.
    """
    try:
        with open_socket(_ROUTE) as opened:
            question = message(_GET_RULE, REQUEST | DUMP, _RULE.pack(0, 0, 0, 0, 0, 0, 0, 0, 0))
            marks = {_mark(answer) for answer in ask(opened, question)}
    except OSError as error:
        raise EnvironmentRefused(f"routing rules cannot be read: {error.strerror or error}") from error
    return PROBES if _RULE_MARK in marks else {}


def _mark(answer: bytes) -> tuple[int, int]:
    with understood():
        fields = attributes(answer, _RULE.size)
        mark, mask = (_NUMBER.unpack(fields.get(kind, bytes(4)))[0] for kind in (_MARK, _MASK))
    return mark, mask
