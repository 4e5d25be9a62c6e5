"""What is allowed, and what may be: answers with three values. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from policyd_compiler.ports import EVERYTHING, NOTHING, PortSet


@dataclass(frozen=True)
class Judged:
    """`allowed` is so however what is not known turns out; what is not even `possible` is denied."""

    allowed: PortSet
    possible: PortSet

    @cached_property
    def hash(self) -> int:
        """The value's hash, computed once."""
        return hash((self.allowed, self.possible))

    def __hash__(self) -> int:
        return self.hash

    @cached_property
    def unknown(self) -> PortSet:
        """What the objects do not decide."""
        return NOTHING if self.allowed == self.possible else self.possible - self.allowed

    def __and__(self, them: Judged) -> Judged:
        """What both allow."""
        if self is them or them is OPEN:
            return self
        if self is OPEN:
            return them
        return Judged(self.allowed & them.allowed, self.possible & them.possible)

    def only(self, ports: PortSet) -> Judged:
        """The answer about these ports alone."""
        return Judged(self.allowed & ports, self.possible & ports)


OPEN = Judged(EVERYTHING, EVERYTHING)
CLOSED = Judged(NOTHING, NOTHING)
UNDECIDED = Judged(NOTHING, EVERYTHING)


def whichever(many: Iterable[Judged]) -> Judged:
    """The answer where nobody knows which of these is asked: allowed if all allow it, denied if none does."""
    found = list(dict.fromkeys(many))
    if len(found) == 1:
        return found[0]
    allowed, possible = EVERYTHING, NOTHING
    for each in found:
        allowed, possible = allowed & each.allowed, possible | each.possible
    return Judged(allowed, possible)
