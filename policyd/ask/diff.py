"""What changes between two worlds: what opens, what closes, and who is isolated by other policies. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import islice
from typing import Literal, TypeAlias

from policyd.ask.alike import Alike
from policyd.ask.blocks import Block
from policyd.ask.endpoints import Endpoint
from policyd.ask.ends import end_of
from policyd.ask.fits import Packet, Reference
from policyd.ask.gates import FAMILIES, Gate
from policyd.ask.judged import CLOSED, Judged
from policyd.ask.moved import Moved, moved
from policyd.ask.open_to import blocks_by_ports, gates_outside, judged_outside
from policyd.ask.pairs import Answer, pairs
from policyd.ask.reach import Outside
from policyd.ask.rectangles import ANY_FAMILY
from policyd.ask.why import isolated_by, why
from policyd.ask.world import World
from policyd_compiler.addr import Family, intersect
from policyd_compiler.ir import Direction
from policyd_compiler.ports import PortSet

WorldName: TypeAlias = Literal["old", "new"]
DIRECTIONS: tuple[Direction, ...] = ("ingress", "egress")


@dataclass(frozen=True, slots=True)
class Sided:
    """An endpoint, and in which of the worlds it is. Of both, it is the one of the new world."""

    endpoint: Endpoint
    side: Literal["both", "old", "new"]


@dataclass(frozen=True, slots=True)
class Change:
    """Ports from one endpoint to another that are allowed in the world `side`, and denied in the other.

    `rules` allow them there; none where what changed is that a policy isolates. `family` is None unless
    IPv4 and IPv6 differ.
    """

    sender: Endpoint
    receiver: Endpoint
    family: int | None
    ports: PortSet
    side: WorldName
    rules: tuple[Reference, ...]


@dataclass(frozen=True, slots=True)
class IsolationChange:
    """The policies that isolate an endpoint in a direction, where they are not the same."""

    endpoint: Endpoint
    direction: Direction
    old: tuple[str, ...]
    new: tuple[str, ...]


@dataclass(frozen=True)
class Difference:
    """All of it, sorted by endpoints. What is unknown in one of the worlds is in neither list."""

    endpoints: tuple[Sided, ...]
    opened: tuple[Change, ...]
    closed: tuple[Change, ...]
    outside_opened: tuple[Outside, ...]
    outside_closed: tuple[Outside, ...]
    isolation: tuple[IsolationChange, ...]

    @cached_property
    def one_sided(self) -> tuple[Sided, ...]:
        """The endpoints that came or went."""
        return tuple(each for each in self.endpoints if each.side != "both")

    @property
    def empty(self) -> bool:
        """Whether both worlds answer all questions alike."""
        changes = (self.opened, self.closed, self.outside_opened, self.outside_closed, self.isolation)
        return not any(changes) and not self.one_sided


def difference(old: World, new: World) -> Difference:
    """What `new` allows that `old` denies, and the reverse, between the endpoints that both have."""
    outside = _Outside(old, new)
    return Difference(
        tuple(_endpoints(old, new)),
        *_connections(old, new),
        tuple(outside.changes("new")),
        tuple(outside.changes("old")),
        tuple(_isolation(old, new)),
    )


def _endpoints(old: World, new: World) -> Iterator[Sided]:
    for name in sorted({*old.number, *new.number}):
        if name not in new.number:
            yield Sided(old.endpoints[old.number[name]], "old")
        else:
            yield Sided(new.endpoints[new.number[name]], "both" if name in old.number else "new")


def _both(old: World, new: World) -> list[str]:
    return [endpoint.id for endpoint in new.endpoints if endpoint.id in old.number]


def _connections(old: World, new: World) -> tuple[tuple[Change, ...], tuple[Change, ...]]:
    """What opens and what closes between endpoints."""
    which = moved(old, new, _both(old, new))
    before, after = _answers(old, which), _answers(new, which)
    rules = {"old": _Rules(old), "new": _Rules(new)}
    opened: list[Change] = []
    closed: list[Change] = []
    for pair in sorted({*before, *after}):
        was, now = before.get(pair, _DENIED), after.get(pair, _DENIED)
        if was != now:
            opened.extend(_changes(rules["new"], "new", pair, now, was))
            closed.extend(_changes(rules["old"], "old", pair, was, now))
    return tuple(opened), tuple(closed)


_DENIED: Answer = {ANY_FAMILY: CLOSED}


def _answers(world: World, which: Moved) -> dict[tuple[str, str], Answer]:
    """The answers for all pairs of which an end behaves differently in the other world."""
    ids = [endpoint.id for endpoint in world.endpoints]
    common, senders, receivers = (
        {world.number[name] for name in names} for names in (which.common, which.senders, which.receivers)
    )
    found: dict[tuple[str, str], Answer] = {}
    for sending, receiving in ((senders, common), (common - senders, receivers)):
        if sending and receiving:
            for pair in pairs(world, sending, receiving):
                found[ids[pair.sender], ids[pair.receiver]] = pair.answer
    return found


def _changes(
    rules: _Rules, side: WorldName, pair: tuple[str, str], here: Answer, there: Answer
) -> Iterator[Change]:
    """What is allowed here and denied there."""
    world = rules.world
    found = {family: _in(here, family).allowed - _in(there, family).possible for family in FAMILIES}
    sender, receiver = (world.endpoints[world.number[name]] for name in pair)
    alike = found[4] == found[6]
    choices: list[tuple[Family | None, PortSet]] = [(None, found[4])] if alike else [*found.items()]
    for family, ports in choices:
        if ports:
            yield Change(sender, receiver, family, ports, side, rules.of(sender, receiver, ports, family))


class _Rules:
    """The rules that allow ports between endpoints: the same for all pairs that look alike."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._alike = Alike(world)
        self._known: dict[Hashable, tuple[Reference, ...]] = {}

    def of(
        self, sender: Endpoint, receiver: Endpoint, ports: PortSet, family: Family | None
    ) -> tuple[Reference, ...]:
        """The rules that allow any of these ports."""
        key = self._alike.of_pair(sender, receiver), ports, family
        if key not in self._known:
            self._known[key] = rules_between(self.world, sender, receiver, ports, family)
        return self._known[key]


def _in(answer: Answer, family: int) -> Judged:
    """The answer of a family, which is that of the other one if there is only one."""
    if family in answer:
        return answer[family]
    return answer.get(ANY_FAMILY) or next(iter(answer.values()))


#: A change of very many ports is asked about at this many of them.
_MOST_SAMPLES = 32
_PROTOCOLS = ("TCP", "UDP", "SCTP")


def rules_between(
    world: World, sender: Endpoint, receiver: Endpoint, ports: PortSet, family: Family | None
) -> tuple[Reference, ...]:
    """The rules that allow any of these ports."""
    ends = end_of(world, sender), end_of(world, receiver)
    found: dict[Reference, None] = {}
    for packet in _samples(ports, _starts(world, sender, receiver)):
        verdict = why(world, *ends, packet, family)
        found.update(dict.fromkeys((*verdict.egress.rules, *verdict.ingress.rules)))
    return tuple(sorted(found))


def _starts(world: World, sender: Endpoint, receiver: Endpoint) -> dict[str, set[int]]:
    """By protocol, where ranges of ports begin and end that rules of either end name."""
    gates = {world.gates.egress[host] for host in end_of(world, sender).hosts}
    gates |= {world.gates.ingress[host] for host in end_of(world, receiver).hosts}
    found: dict[str, set[int]] = {name: set() for name in _PROTOCOLS}
    rules = (rule for gate in gates if gate for stage in gate.possible.stages for rule in stage.rules)
    for rule in rules:
        for name, ranges in zip(_PROTOCOLS, (rule.ports.tcp, rule.ports.udp, rule.ports.sctp), strict=True):
            found[name].update(edge for low, high in ranges for edge in (low, high + 1))
    return found


def _samples(ports: PortSet, starts: dict[str, set[int]]) -> Iterator[Packet]:
    """One packet for each stretch of ports that all rules treat alike; of very many, for some."""
    for name, ranges in zip(_PROTOCOLS, (ports.tcp, ports.udp, ports.sctp), strict=True):
        stretches = (
            number
            for low, high in ranges
            for number in sorted({low, *(start for start in starts[name] if low < start <= high)})
        )
        yield from (Packet(name, number) for number in islice(stretches, _MOST_SAMPLES))
    if ports.other:
        yield Packet("other", None)


class _Outside:
    """Addresses that no pod and no node has. Few combinations of gates are met, by many endpoints."""

    def __init__(self, old: World, new: World) -> None:
        self._worlds: dict[WorldName, World] = {"old": old, "new": new}
        self._common = _both(old, new)
        self._opened = lru_cache(maxsize=None)(_opened)

    def changes(self, side: WorldName) -> Iterator[Outside]:
        """What is allowed in the world of this side, and denied in the other."""
        here = self._worlds[side]
        there = self._worlds["old" if side == "new" else "new"]
        for inbound in (True, False):
            for name in self._common:
                for family in FAMILIES:
                    gates = [gates_outside(w, w.number[name], family, inbound=inbound) for w in (here, there)]
                    if not all(gates):
                        continue
                    for block, ports in self._opened(*gates, family):
                        endpoint = here.endpoints[here.number[name]]
                        yield Outside(endpoint, inbound, family, block, ports)


def _opened(
    here: frozenset[Gate | None], there: frozenset[Gate | None], family: Family
) -> tuple[tuple[Block, PortSet], ...]:
    """Blocks of addresses, and what is allowed here and denied there, to or from each."""
    found: dict[PortSet, list[tuple[int, int]]] = {}
    for judged, ranges in judged_outside(here, family):
        for other, others in judged_outside(there, family):
            ports = judged.allowed - other.possible
            if ports and (common := intersect(ranges, others)):
                found.setdefault(ports, []).extend(common)
    return blocks_by_ports(found, family)


def _isolation(old: World, new: World) -> Iterator[IsolationChange]:
    for name in _both(old, new):
        for direction in DIRECTIONS:
            before, after = (
                isolated_by(w, end_of(w, w.endpoints[w.number[name]]), direction) for w in (old, new)
            )
            if before != after:
                yield IsolationChange(new.endpoints[new.number[name]], direction, before, after)
