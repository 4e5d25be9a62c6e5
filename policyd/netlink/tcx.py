"""eBPF programs on links by way of TCX (kernel 6.6), which rtnetlink does not show. Needs CAP_BPF."""

from __future__ import annotations

import ctypes
import platform
import struct
from collections.abc import Iterable

#: The system call's number; machines that are not listed are not asked.
_BPF = {"x86_64": 321, "aarch64": 280}
_PROG_QUERY, _TCX_INGRESS = 16, 46
#: Link and kind of attachment, flags, a buffer that is not given, and how many there are.
_QUERY = struct.Struct("=IIIIQI")
_BYTES = 128


def read_tcx(links: Iterable[int]) -> frozenset[int]:
    """The indexes of those links on which such a program meets packets first; none where that is not told."""
    number = _BPF.get(platform.machine())
    if number is None:
        return frozenset()
    libc = ctypes.CDLL(None, use_errno=True)
    return frozenset(index for index in links if _count(libc, number, index))


def _count(libc: ctypes.CDLL, number: int, index: int) -> int:
    asked = ctypes.create_string_buffer(_QUERY.pack(index, _TCX_INGRESS, 0, 0, 0, 0), _BYTES)
    if libc.syscall(number, _PROG_QUERY, asked, _BYTES) != 0:
        return 0
    count: int = _QUERY.unpack_from(asked.raw)[5]
    return count
