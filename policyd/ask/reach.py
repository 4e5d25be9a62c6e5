"""Who can talk to whom: between endpoints, and with addresses outside. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache

from policyd.ask.blocks import Block
from policyd.ask.endpoints import Endpoint
from policyd.ask.gates import FAMILIES, Gate
from policyd.ask.judged import Judged
from policyd.ask.open_to import blocks_by_ports, gates_outside, judged_outside
from policyd.ask.pairs import pairs
from policyd.ask.rectangles import ANY_FAMILY
from policyd.ask.world import World
from policyd_compiler.addr import Family
from policyd_compiler.ports import PortSet


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
    open_to = lru_cache(maxsize=None)(_open_to)  # the same for all endpoints behind the same gates
    for inbound in (True, False):
        for number, endpoint in enumerate(world.endpoints):
            for family in FAMILIES:
                gates = gates_outside(world, number, family, inbound=inbound)
                for block, ports in open_to(gates, family) if gates else ():
                    yield Outside(endpoint, inbound, family, block, ports)


def _open_to(gates: frozenset[Gate | None], family: Family) -> tuple[tuple[Block, PortSet], ...]:
    """Blocks of addresses, and what all of these gates let through to or from each."""
    found: dict[PortSet, list[tuple[int, int]]] = {}
    for judged, ranges in judged_outside(gates, family):
        if judged.allowed:
            found.setdefault(judged.allowed, []).extend(ranges)
    return blocks_by_ports(found, family)
