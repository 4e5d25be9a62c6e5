"""Whom somebody reaches over several connections, and by which way. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from policyd.ask.answers import OUTSIDE
from policyd.ask.endpoints import Endpoint
from policyd.ask.reach import connections, outside
from policyd.ask.world import World
from policyd_compiler.ports import PortSet


@dataclass(frozen=True, slots=True)
class Step:
    """One connection of a way: who opens it to whom, by ids or OUTSIDE, and the ports it may be to."""

    sender: str
    receiver: str
    allowed: PortSet


@dataclass(frozen=True, slots=True)
class Hops:
    """From `senders`, over at most `most` connections: to each that is reached one of the shortest ways,
    nearest first. `unreached` are the ids of the others."""

    endpoints: tuple[Endpoint, ...]
    senders: tuple[str, ...]
    most: int
    ways: tuple[tuple[Step, ...], ...]
    unreached: tuple[str, ...]


def hops(world: World, senders: Collection[str], most: int, ports: PortSet | None = None) -> Hops:
    """Whom these reach; breadth first. Only what is allowed counts, of these ports, None for all."""
    onward = _onward(world, ports)
    ways: dict[str, tuple[Step, ...]] = dict.fromkeys(sorted(senders), ())
    here = list(ways)
    for _ in range(most):
        there: list[str] = []
        for sender in here:
            for step in onward.get(sender, ()):
                if step.receiver not in ways:
                    ways[step.receiver] = (*ways[sender], step)
                    there.append(step.receiver)
        here = there
    return Hops(
        world.endpoints,
        tuple(sorted(senders)),
        most,
        tuple(way for way in ways.values() if way),
        tuple(each.id for each in world.endpoints if each.id not in ways),
    )


def _onward(world: World, ports: PortSet | None) -> dict[str, list[Step]]:
    """By sender, the connections that are allowed."""
    found: dict[str, list[Step]] = {}
    every = [
        *((each.sender.id, each.receiver.id, each.judged.allowed) for each in connections(world)),
        *((OUTSIDE, each.endpoint.id, each.allowed) for each in outside(world) if each.inbound),
    ]
    for sender, receiver, allowed in every:
        asked = allowed if ports is None else allowed & ports
        if asked:
            found.setdefault(sender, []).append(Step(sender, receiver, asked))
    return found
