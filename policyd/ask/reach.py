"""Who can talk to whom: between endpoints, and with addresses outside. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from policyd.ask.blocks import Block, blocks
from policyd.ask.endpoints import Endpoint
from policyd.ask.gates import FAMILIES, Gate
from policyd.ask.judged import Judged
from policyd.ask.pairs import pairs
from policyd.ask.rectangles import ANY_FAMILY, families_of
from policyd.ask.world import World
from policyd.cluster.index import bits_of
from policyd_compiler.addr import Family, Ranges, intersect, prefix_interval, subtract, union
from policyd_compiler.lower.classes import classify_unnamed
from policyd_compiler.lower.decide import Decider
from policyd_compiler.ports import EVERYTHING, PortSet


@dataclass(frozen=True, slots=True)
class Connection:
    """What one endpoint may send to another. `family` is None unless IPv4 and IPv6 differ; then there is one
    for each in which anything is possible."""

    sender: Endpoint
    receiver: Endpoint
    family: int | None
    judged: Judged


@dataclass(frozen=True, slots=True)
class Outside:
    """What the addresses of a block may send to an endpoint, or (`inbound` false) what it may send to them.

    The block may hold addresses of pods and nodes, of which it says nothing.
    """

    endpoint: Endpoint
    inbound: bool
    family: int
    block: Block
    allowed: PortSet


@dataclass(frozen=True, slots=True)
class Reachability:
    """All of it. Pairs and addresses that are not there are denied, and so is what an entry does not name."""

    endpoints: tuple[Endpoint, ...]
    connections: tuple[Connection, ...]
    outside: tuple[Outside, ...]


def reach(world: World) -> Reachability:
    """Everything that is allowed, or not known, in a world; in order of the endpoints' ids."""
    return Reachability(world.endpoints, tuple(connections(world)), tuple(outside(world)))


def connections(
    world: World, senders: Collection[str] | None = None, receivers: Collection[str] | None = None
) -> Iterator[Connection]:
    """The connections between endpoints; only of those named, by ids. An endpoint and itself is none."""
    ends = world.endpoints
    for pair in pairs(world, _numbers(world, senders), _numbers(world, receivers)):
        for family, judged in pair.answer.items():
            if judged.possible:
                yield Connection(
                    ends[pair.sender],
                    ends[pair.receiver],
                    None if family == ANY_FAMILY or len(pair.answer) == 1 else family,
                    judged,
                )


def _numbers(world: World, ids: Collection[str] | None) -> frozenset[int] | None:
    if ids is None:
        return None
    return frozenset(number for number, endpoint in enumerate(world.endpoints) if endpoint.id in ids)


def outside(world: World) -> Iterator[Outside]:
    """What endpoints have to do with addresses that no pod and no node has: first what they receive."""
    open_to = _OpenTo()
    for inbound, gates in ((True, world.gates.ingress), (False, world.gates.egress)):
        for endpoint, mask in zip(world.endpoints, world.hosts, strict=True):
            hosts = bits_of(mask)
            known = [families_of(world.claims.hosts[host]) for host in hosts]
            for family in FAMILIES:
                asked = {
                    gates[host] for host, has in zip(hosts, known, strict=True) if family in (has or FAMILIES)
                }
                if not asked:
                    continue
                for block, ports in open_to.all_of(frozenset(asked), family):
                    yield Outside(endpoint, inbound, family, block, ports)


class _OpenTo:
    """To which addresses gates are open; the same for all endpoints behind them."""

    def __init__(self) -> None:
        self._known: dict[tuple[frozenset[Gate | None], Family], tuple[tuple[Block, PortSet], ...]] = {}

    def all_of(self, gates: frozenset[Gate | None], family: Family) -> tuple[tuple[Block, PortSet], ...]:
        """Blocks of addresses, and what all of these gates let through to or from each."""
        known = self._known.get((gates, family))
        if known is None:
            classes: dict[PortSet, Ranges] = {EVERYTHING: (prefix_interval(family, 0, 0),)}
            for gate in gates:
                classes = _cross(classes, _classes(gate, family))
            found = [
                (block, ports)
                for ports, ranges in classes.items()
                if ports
                for block in blocks(ranges, family)
            ]
            known = self._known[gates, family] = tuple(sorted(found, key=lambda each: each[0].cidr))
        return known


def _classes(gate: Gate | None, family: Family) -> dict[PortSet, Ranges]:
    """All addresses by what a gate lets through to or from each, if it is nobody's in the cluster."""
    everything = (prefix_interval(family, 0, 0),)
    if gate is None:
        return {EVERYTHING: everything}
    decider = Decider(gate.certain)
    classes = classify_unnamed(decider, family)
    found: dict[PortSet, list[tuple[int, int]]] = {}
    for interval, mask in classes.ranges:
        found.setdefault(decider.masks.ports(mask), []).append(interval)
    named = union(interval for interval, _ in classes.ranges)
    found.setdefault(decider.masks.ports(classes.default), []).extend(subtract(everything, named))
    return {ports: union(intervals) for ports, intervals in found.items()}


def _cross(left: dict[PortSet, Ranges], right: dict[PortSet, Ranges]) -> dict[PortSet, Ranges]:
    found: dict[PortSet, list[tuple[int, int]]] = {}
    for ports, ranges in left.items():
        for more, others in right.items():
            found.setdefault(ports & more, []).extend(intersect(ranges, others))
    return {ports: union(intervals) for ports, intervals in found.items() if intervals}
