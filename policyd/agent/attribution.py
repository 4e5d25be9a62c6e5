"""Which policies keep a cluster from being brought into force: found by bisection. Pure.

A search says what to try next, and is answered whether all else can be brought into force without that. What
the compiler makes is never refused in any test; should it happen nevertheless, one policy must not cost the
others (decisions 8 and 14).
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

#: A word of a statement: it may be the name of a part.
_WORD = re.compile(r"[^\s@{};,:]+")

#: Yields policies to close, is sent whether all else is fine then; returns the culprits.
Steps: TypeAlias = Generator[frozenset[str], bool, frozenset[str]]


def candidates(statement: str, owners: Mapping[str, frozenset[str]]) -> tuple[str, ...]:
    """The policies that a refused statement serves, by the parts of the ruleset that it names."""
    found: set[str] = set()
    for word in set(_WORD.findall(statement)):
        found |= owners.get(word, frozenset())
    return tuple(sorted(found))


@dataclass(slots=True)
class Search:
    """A search that is under way, over policies by `namespace/name`.

    `enough`: the smallest set found so far without which all else is fine, None before there is any. `tried`
    counts the answers. `asked` is what is to be tried next; None when the search is over, and then `culprits`
    are the answer.
    """

    asked: frozenset[str] | None
    steps: Steps
    enough: frozenset[str] | None = None
    culprits: frozenset[str] = frozenset()
    tried: int = 0

    @classmethod
    def over(cls, circles: Sequence[Sequence[str]]) -> Search:
        """Begin: first whether it fails at all, then each circle of candidates, the narrowest first."""
        steps = _search(circles)
        return cls(next(steps), steps)

    def answer(self, *, fine: bool) -> None:
        """Answer what was asked."""
        assert self.asked is not None, "the search is over"  # noqa: S101 a mistake of the caller's
        self.tried += 1
        if fine:
            self.enough = self.asked
        try:
            self.asked = self.steps.send(fine)
        except StopIteration as done:
            self.asked, self.culprits = None, done.value

    def give_up(self) -> None:
        """End the search: the culprits are what is known to be enough, as nothing smaller is."""
        self.asked, self.culprits = None, self.enough or frozenset()


def _search(circles: Sequence[Sequence[str]]) -> Steps:
    if (yield frozenset()):
        return frozenset()
    for circle in circles:
        if circle and (yield frozenset(circle)):
            return (yield from _narrow(circle))
    return frozenset()


def _narrow(circle: Sequence[str]) -> Steps:
    """The culprits among policies that are enough together: whose namespaces, then which of each.

    By namespace first, as a namespace of many small policies must not take its neighbours with it.
    """
    spaces: dict[str, list[str]] = {}
    for policy in circle:
        # A policy of the whole cluster is alone, also where a namespace has its name.
        namespace, slash, _ = policy.partition("/")
        spaces.setdefault(namespace + slash, []).append(policy)
    found = yield from _least([spaces[name] for name in spaces], frozenset())
    closed = frozenset(policy for space in found for policy in space)
    for space in found:
        others = closed - frozenset(space)
        least = yield from _least([[policy] for policy in space], others)
        closed = others | frozenset(policy for part in least for policy in part)
    return closed


def _least(
    parts: Sequence[Sequence[str]], others: frozenset[str]
) -> Generator[frozenset[str], bool, list[Sequence[str]]]:
    """Of parts that are enough together with `others`, and of which one is needed, those that are needed.

    Each is found by halving: the shortest beginning that is enough ends with one that is needed.
    """
    found: list[Sequence[str]] = []
    rest = list(parts)
    while rest:
        closed = others.union(*found)
        if found and (yield closed):
            break
        low, high = 0, len(rest)  # the first `low` are not enough, the first `high` are
        while high - low > 1:
            middle = (low + high) // 2
            if (yield closed.union(*rest[:middle])):
                high = middle
            else:
                low = middle
        found.append(rest[high - 1])
        rest = rest[: high - 1]
    return found
