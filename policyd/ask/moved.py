"""Which endpoints behave differently in two worlds: only their pairs have to be asked about. Pure.

What two endpoints may do follows from the hosts of both, from what the gates of one let through to the
other, and the reverse. So a pair of which none of this differs has the same answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from policyd.ask.gates import Gate
from policyd.ask.world import World
from policyd.cluster.index import bits_of, mask_of

#: What tells a host of one world from all others, and finds it in the other world.
_Key: TypeAlias = tuple[int | None, int | None, tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True)
class Moved:
    """Endpoints of both worlds, by id: those that may send something else, and receive something else."""

    common: Sequence[str]
    senders: frozenset[str]
    receivers: frozenset[str]


def moved(old: World, new: World, common: Sequence[str]) -> Moved:
    """Compare two worlds; `common` are the endpoints of both."""
    keys = _keys(old), _keys(new)
    if any(count > 1 for each in keys for count in Counter(each).values()):
        return Moved(common, frozenset(common), frozenset(common))  # no telling hosts apart
    places = {key: place for place, key in enumerate(sorted(set(keys[0]) & set(keys[1]), key=repr))}
    before, after = (_Seen(world, known, places) for world, known in zip((old, new), keys, strict=True))
    senders: set[str] = set()
    receivers: set[str] = set()
    for name in common:
        was, now = before.hosts(name), after.hosts(name)
        if was != now or None in was:
            senders.add(name)
            receivers.add(name)
            continue
        if before.gates(name, "egress") != after.gates(name, "egress"):
            senders.add(name)
        if before.gates(name, "ingress") != after.gates(name, "ingress"):
            receivers.add(name)
    return Moved(common, frozenset(senders), frozenset(receivers))


def _keys(world: World) -> list[_Key]:
    return [
        (host.v4, host.v6, tuple(sorted((pod.namespace, pod.name) for pod in world.claimants(number))))
        for number, host in enumerate(world.claims.hosts)
    ]


class _Seen:
    """One world, with hosts by their places among those that both worlds have."""

    def __init__(self, world: World, keys: Sequence[_Key], places: Mapping[_Key, int]) -> None:
        self._world, self._size = world, len(places)
        self._places = [places.get(key) for key in keys]
        self._same = self._places == list(range(len(keys))) and len(keys) == len(places)
        self._masks: dict[int, int] = {}
        self._known: dict[Gate | None, Hashable] = {}

    def hosts(self, name: str) -> list[int | None]:
        """The places of an endpoint's hosts; None for one that the other world does not have."""
        return [self._places[host] for host in self._of(name)]

    def gates(self, name: str, direction: str) -> list[Hashable]:
        """What each host of an endpoint lets through, in a direction."""
        gates = getattr(self._world.gates, direction)
        return [self._rows(gates[host]) for host in self._of(name)]

    def _of(self, name: str) -> list[int]:
        return bits_of(self._world.hosts[self._world.number[name]])

    def _rows(self, gate: Gate | None) -> Hashable:
        """What a gate lets through, to or from each host that both worlds have."""
        if gate not in self._known:
            found: dict[Hashable, int] = {}
            for row in self._world.gates.rows(gate):
                answers = (row.four, row.six)
                found[answers] = found.get(answers, 0) | self._mask(row.hosts)
            self._known[gate] = frozenset((answers, mask) for answers, mask in found.items() if mask)
        return self._known[gate]

    def _mask(self, hosts: int) -> int:
        if self._same:
            return hosts
        if hosts not in self._masks:
            self._masks[hosts] = mask_of(self._found(hosts), self._size)
        return self._masks[hosts]

    def _found(self, hosts: int) -> Iterator[int]:
        for host in bits_of(hosts):
            place = self._places[host]
            if place is not None:
                yield place
