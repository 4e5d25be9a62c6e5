"""Which policies are to blame when the kernel refuses a ruleset. Pure but for the question it is given.

What the compiler makes is never refused in any test; should a kernel do it nevertheless, one policy must not
cost the others (decisions 8 and 14).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_NAME = re.compile(r"[@\s]((?:in|out|ports|peers|peer-ports|ranges|range-ports)[^\s{};,:]*)")


def suspects(statement: str, owners: Mapping[str, frozenset[str]]) -> tuple[str, ...]:
    """The policies that a refused statement serves, by the names of chains, sets and maps in it."""
    found: set[str] = set()
    for name in _NAME.findall(f" {statement}"):
        found |= owners.get(name, frozenset())
    return tuple(sorted(found))
