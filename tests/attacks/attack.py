"""What an attack is, and what must always pass: rows of the tables next to this file.

A place is a wiring and a family: `r4` and `r6` on the routed bed, `b4` and `b6` on the bridged one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from tests.attacks.bed import Bed, Shot

#: Without any capability; with NET_RAW, which most runtimes give; no pod; root of another node.
Who: TypeAlias = Literal["pod", "raw", "outside", "node"]
Shots: TypeAlias = Callable[[Bed, int], Iterable[Shot]]

EVERYWHERE = "r4 r6 b4 b6"
BRIDGED = "b4 b6"


@dataclass(frozen=True, slots=True)
class Attack:
    """One kind of try, in the places where it can be tried.

    `kernel`: where the kernel itself stops it, without any rule. `admitted`: where it comes through, as the
    row `because` of docs/security.md says. Everywhere else it must be stopped.
    """

    name: str
    who: Who
    shots: Shots
    at: str = EVERYWHERE
    kernel: str = ""
    admitted: str = ""
    because: str = ""


@dataclass(frozen=True, slots=True)
class Honest:
    """What must pass, under the same rules: each of its shots."""

    name: str
    shots: Shots
    at: str = EVERYWHERE


Row: TypeAlias = Attack | Honest


def places(wiring: str) -> tuple[tuple[str, int], ...]:
    """The two places of a bed, with the family of each."""
    return tuple((f"{wiring[0]}{family}", family) for family in (4, 6))
