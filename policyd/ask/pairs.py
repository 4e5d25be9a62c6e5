"""Rectangles of hosts → pairs of endpoints. Pure.

What an endpoint may do is what each of its pods may do. Where they differ, it is not known which is asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from policyd.ask.judged import CLOSED, UNDECIDED, Judged, whichever
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
    sending, receiving = (_hosts(world, each) for each in (senders, receivers))
    by_sender: dict[int, list[tuple[int, Rectangle]]] = {}
    for rectangle in rectangles(world):
        there = rectangle.destinations & receiving
        for endpoint, count in touching.of(rectangle.sources & sending) if there else ():
            if senders is None or endpoint in senders:
                found = Rectangle(rectangle.sources, there, rectangle.answers)
                by_sender.setdefault(endpoint, []).append((count, found))
    for sender in touching.sharing:
        if senders is None or sender in senders:
            by_sender.setdefault(sender, [])
    for sender in sorted(by_sender):
        shares = touching.shares(sender, by_sender[sender])
        for receiver in sorted(shares):
            if receivers is None or receiver in receivers:
                answer = touching.together(sender, receiver, shares[receiver])
                if any(judged.possible for judged in answer.values()):
                    yield Pair(sender, receiver, answer)


def _hosts(world: World, endpoints: Collection[int] | None) -> int:
    """The hosts of these endpoints; of all, if none are given."""
    if endpoints is None:
        return -1
    found = 0
    for number in endpoints:
        found |= world.hosts[number]
    return found


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
        #: The endpoints of which a host is another's, too.
        self.sharing = frozenset(number for found in self._shared.values() for number in found)
        self._masks = world.hosts
        self._hosts = hosts = world.claims.hosts
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

    def shares(self, sender: int, found: Iterable[tuple[int, Rectangle]]) -> dict[int, list[_Share]]:
        """By receiver, what some of the pairs of hosts may do. An address and itself is no pair."""
        shares: dict[int, list[_Share]] = {receiver: [] for receiver in self.beside(sender)}
        for count, rectangle in found:
            here = rectangle.sources & rectangle.destinations if sender in self.sharing else 0
            for receiver, others in self.of(rectangle.destinations):
                many = count * others
                if here:
                    many -= (self.both(sender, receiver) & here).bit_count()
                if many and receiver != sender:
                    shares.setdefault(receiver, []).append((many, rectangle.answers))
        return shares

    def together(self, sender: int, receiver: int, shares: list[_Share]) -> Answer:
        """One answer for all pairs of hosts of two endpoints. What no share is about is denied."""
        both = self.both(sender, receiver)
        if len(shares) == 1 and shares[0][0] == self._size(sender) * self._size(receiver):
            return one_if_equal(shares[0][1])
        totals: Counter[int] = Counter()
        for families, many in self._families[sender]:
            for more, theirs in self._families[receiver]:
                found = families_of_pair(families, more)
                totals.update({family: many * theirs for family in found if family})
        for host in bits_of(both):  # an address and itself is no pair
            totals.subtract(dict.fromkeys(families_of(self._hosts[host]), 1))
        answers: dict[int, Judged] = {}
        for family in sorted(+totals):
            said = [(many, each.get(family, each.get(ANY_FAMILY))) for many, each in shares]
            known = [judged for _, judged in said if judged is not None]
            covered = sum(many for many, judged in said if judged is not None)
            answers[family] = whichever([*known, CLOSED] if covered < totals[family] else known)
        if not answers:
            return {ANY_FAMILY: UNDECIDED if both else CLOSED}
        if any(not families for end in (sender, receiver) for families, _ in self._families[end]):
            return {ANY_FAMILY: whichever(answers.values())}
        return one_if_equal(answers)

    def both(self, sender: int, receiver: int) -> int:
        """The hosts that two endpoints share: pods that claim one address (NP-166)."""
        if sender not in self.sharing or receiver not in self.sharing:
            return 0
        return self._masks[sender] & self._masks[receiver]

    def beside(self, endpoint: int) -> frozenset[int]:
        """The other endpoints that share a host with one."""
        if endpoint not in self.sharing:
            return frozenset()
        return frozenset(n for n in self.sharing if n != endpoint and self._masks[n] & self._masks[endpoint])

    def _size(self, endpoint: int) -> int:
        return sum(many for _, many in self._families[endpoint])


def one_if_equal(answer: Answer) -> Answer:
    """An answer without families, where these do not differ."""
    first, *others = answer.values()
    return {ANY_FAMILY: first} if all(other == first for other in others) else answer
