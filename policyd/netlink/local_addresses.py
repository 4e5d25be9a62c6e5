"""The node's own addresses, as the kernel's routing has them: what `fib saddr type local` finds."""

from __future__ import annotations

import re
from pathlib import Path

from policyd_compiler.addr import parse_v4

_TRIE = Path("/proc/thread-self/net/fib_trie")
_ROUTES6 = Path("/proc/thread-self/net/ipv6_route")
_LOCAL6 = 0x80000000  # RTF_LOCAL
_HOST = re.compile(r"\|-- ([0-9.]+)\n(?:\s+/\d+ [^\n]*\n)*?\s+/32 host LOCAL")


def local_addresses() -> dict[int, frozenset[int]]:
    """Local addresses by family; 127.0.0.0/8 is represented by those that are written down."""
    return {4: _local4(), 6: _local6()}


def _local4() -> frozenset[int]:
    text = _TRIE.read_text() if _TRIE.exists() else ""
    return frozenset(parse_v4(found) for found in _HOST.findall(text))


def _local6() -> frozenset[int]:
    if not _ROUTES6.exists():
        return frozenset()
    rows = (line.split() for line in _ROUTES6.read_text().splitlines())
    return frozenset(int(row[0], 16) for row in rows if row[1] == "80" and int(row[8], 16) & _LOCAL6)
