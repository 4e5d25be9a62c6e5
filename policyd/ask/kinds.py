"""Endpoints that all policies treat alike, by number: what is said of one of a kind holds for all. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Iterator

from policyd.ask.ends import End
from policyd.ask.gates import Gate
from policyd.ask.why import blocks_of_tiers, kind_of_host
from policyd.ask.world import World
from policyd.kube.objects import IPBlock


class Kinds:
    """The kinds of one world's endpoints; each is worked out when it is asked for, once."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._blocks = tuple(dict.fromkeys(_blocks(world)))
        self._of: dict[tuple[int, ...], int] = {}
        self._numbers: dict[Hashable, int] = {}

    def of(self, end: End) -> int:
        """The kind of an end that has hosts: two of one kind send and receive the same."""
        found = self._of.get(end.hosts)
        if found is None:
            kind = frozenset(
                (kind_of_host(self._world, host, self._blocks, node=False), *self._gates(host))
                for host in end.hosts
            )
            found = self._of[end.hosts] = self._numbers.setdefault(kind, len(self._numbers))
        return found

    def of_pair(self, sender: End, receiver: End) -> tuple[int, int] | None:
        """The kinds of two ends; None if what is said of them may hold for no others."""
        plain = all(end.hosts and end.address is None for end in (sender, receiver))
        if not plain or set(sender.hosts) & set(receiver.hosts):
            return None
        return self.of(sender), self.of(receiver)

    def _gates(self, host: int) -> tuple[Gate | None, Gate | None]:
        return self._world.gates.egress[host], self._world.gates.ingress[host]


def _blocks(world: World) -> Iterator[IPBlock]:
    """All blocks of addresses that policies name."""
    yield from blocks_of_tiers(world)
    for policy in world.state.policies.values():
        for rule in (*(policy.ingress or ()), *(policy.egress or ())):
            yield from (peer for peer in rule.peers or () if isinstance(peer, IPBlock))
