"""Rectangles of hosts → pairs of endpoints. Pure.

What an endpoint may do is what each of its pods may do. Where they differ, it is not known which is asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from policyd.ask.judged import CLOSED, Judged, whichever
from policyd.ask.rectangles import ANY_FAMILY, Rectangle, families_of, families_of_pair, rectangles
from policyd.ask.world import World
from policyd.cluster.index import bits_of

#: What one endpoint may send to another, by family; ANY_FAMILY where it is the same, or not known.
Answer: TypeAlias = Mapping[int, Judged]


class Pair(NamedTuple):
    """Two different endpoints, by their numbers, of which anything is possible."""

    sender: int
    receiver: int
    answer: Answer


#: What some of the pairs of hosts of two endpoints may do, and how many these are.
_Share: TypeAlias = tuple[int, Mapping[int, Judged]]


def pairs(
    world: World, senders: Collection[int] | None = None, receivers: Collection[int] | None = None
) -> Iterator[Pair]:
    """Every ordered pair of endpoints of which anything is possible, in order; only of those given."""
    touching = _Touching(world)
    by_sender: dict[int, list[tuple[int, Rectangle]]] = {}
    for rectangle in rectangles(world):
        for endpoint, count in touching.of(rectangle.sources):
            if senders is None or endpoint in senders:
                by_sender.setdefault(endpoint, []).append((count, rectangle))
    for sender in sorted(by_sender):
        shares: dict[int, list[_Share]] = {}
        for count, rectangle in by_sender[sender]:
            for receiver, others in touching.of(rectangle.destinations):
                if receiver != sender and (receivers is None or receiver in receivers):
                    shares.setdefault(receiver, []).append((count * others, rectangle.answers))
        for receiver in sorted(shares):
            yield Pair(sender, receiver, touching.together(sender, receiver, shares[receiver]))


class _Touching:
    """Which endpoints have hosts in a mask, and how many."""

    def __init__(self, world: World) -> None:
        self._number = [0] * len(world.claims.hosts)
        self._shared: dict[int, list[int]] = {}
        for endpoint, mask in enumerate(world.hosts):
            for host in bits_of(mask):
                self._number[host] = endpoint
                self._shared.setdefault(host, []).append(endpoint)
        self._shared = {host: found for host, found in self._shared.items() if len(found) > 1}
        self._known: dict[int, Sequence[tuple[int, int]]] = {}
        hosts = world.claims.hosts
        self._families = [
            tuple(Counter(families_of(hosts[host]) for host in bits_of(mask)).items()) for mask in world.hosts
        ]

    def of(self, mask: int) -> Sequence[tuple[int, int]]:
        """The endpoints with hosts in the mask, each with how many of its hosts are."""
        known = self._known.get(mask)
        if known is None:
            found: Counter[int] = Counter()
            for host in bits_of(mask):
                found.update(self._shared.get(host) or (self._number[host],))
            known = self._known[mask] = tuple(found.items())
        return known

    def together(self, sender: int, receiver: int, shares: list[_Share]) -> Answer:
        """One answer for all pairs of hosts of two endpoints. What no share is about is denied."""
        (count, answer), *others = shares
        if not others and count == self._size(sender) * self._size(receiver):
            return one_if_equal(answer)
        totals: Counter[int] = Counter()
        for families, many in self._families[sender]:
            for more, theirs in self._families[receiver]:
                found = families_of_pair(families, more)
                totals.update({family: many * theirs for family in found if family})
        answers: dict[int, Judged] = {}
        for family in sorted(totals):
            said = [(many, each.get(family, each.get(ANY_FAMILY))) for many, each in shares]
            known = [judged for _, judged in said if judged is not None]
            covered = sum(many for many, judged in said if judged is not None)
            answers[family] = whichever([*known, CLOSED] if covered < totals[family] else known)
        return one_if_equal(answers)

    def _size(self, endpoint: int) -> int:
        return sum(many for _, many in self._families[endpoint])


def one_if_equal(answer: Answer) -> Answer:
    """An answer without families, where these do not differ."""
    first, *others = answer.values()
    return {ANY_FAMILY: first} if all(other == first for other in others) else answer
