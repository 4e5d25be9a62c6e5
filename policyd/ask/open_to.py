"""To which addresses that no pod and no node has an endpoint is open. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from policyd.ask.blocks import Block, blocks
from policyd.ask.gates import FAMILIES, Gate
from policyd.ask.judged import UNDECIDED, Judged
from policyd.ask.rectangles import families_of
from policyd.ask.world import World
from policyd.cluster.index import bits_of
from policyd_compiler.addr import Family, Ranges, intersect, prefix_interval, subtract, union
from policyd_compiler.lower.classes import classify_unnamed
from policyd_compiler.lower.decide import Decider
from policyd_compiler.ports import EVERYTHING, NOTHING, PortSet

#: Addresses by what is allowed to or from them.
_Classes: TypeAlias = dict[Judged, Ranges]


def gates_outside(world: World, endpoint: int, family: Family, *, inbound: bool) -> frozenset[Gate | None]:
    """The gates of an endpoint's pods that have, or may have, an address of the family."""
    gates = world.gates.ingress if inbound else world.gates.egress
    return frozenset(
        gates[host]
        for host in bits_of(world.hosts[endpoint])
        if family in (families_of(world.claims.hosts[host]) or FAMILIES)
    )


def judged_outside(gates: Iterable[Gate | None], family: Family) -> Sequence[tuple[Judged, Ranges]]:
    """All addresses of a family, by what all of these gates let through, and what any of them does."""
    found: _Classes | None = None
    for gate in gates:
        classes = _classes(gate, family)
        found = classes if found is None else _cross(found, classes)
    return tuple((found or {}).items())


def blocks_by_ports(
    found: Mapping[PortSet, Iterable[tuple[int, int]]], family: Family
) -> tuple[tuple[Block, PortSet], ...]:
    """Addresses by ports, as blocks, in order."""
    written = ((block, ports) for ports, ranges in found.items() for block in blocks(union(ranges), family))
    return tuple(sorted(written, key=lambda each: (each[0].cidr, each[0].excepts)))


def _classes(gate: Gate | None, family: Family) -> _Classes:
    """All addresses by what a gate lets through to or from each, if it is nobody's in the cluster."""
    everything = (prefix_interval(family, 0, 0),)
    if gate is None:
        return {Judged(EVERYTHING, EVERYTHING): everything}
    if gate.doubt:
        return {UNDECIDED: everything}
    decider = Decider(gate.certain)
    classes = classify_unnamed(decider, family)
    found: dict[PortSet, list[tuple[int, int]]] = {NOTHING: []}
    for interval, mask in classes.ranges:
        found.setdefault(decider.masks.ports(mask), []).append(interval)
    named = union(interval for interval, _ in classes.ranges)
    found.setdefault(decider.masks.ports(classes.default), []).extend(subtract(everything, named))
    return {Judged(ports, ports): union(intervals) for ports, intervals in found.items() if intervals}


def _cross(left: _Classes, right: _Classes) -> _Classes:
    """Both together: allowed is what both allow, possible what one of them does."""
    found: dict[Judged, list[tuple[int, int]]] = {}
    for one, ranges in left.items():
        for other, others in right.items():
            both = Judged(one.allowed & other.allowed, one.possible | other.possible)
            found.setdefault(both, []).extend(intersect(ranges, others))
    return {judged: union(intervals) for judged, intervals in found.items() if intervals}
