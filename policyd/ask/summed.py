"""All ports between two ends at once. Pure."""

from __future__ import annotations

from policyd.ask.ends import End, parties
from policyd.ask.gates import Gate
from policyd.ask.judged import CLOSED, OPEN, Judged, whichever
from policyd.ask.pairs import Answer, one_if_equal
from policyd.ask.world import World
from policyd_compiler.lower.classes import classify_unnamed
from policyd_compiler.lower.decide import Decider


def judge_all(world: World, sender: End, receiver: End) -> Answer:
    """What one end may send to another, by family. It is nothing if they have no family in common."""
    found: dict[int, list[Judged]] = {}
    for source in sender.hosts or (None,):
        for destination in receiver.hosts or (None,):
            if source is not None and source == destination and len(sender.hosts) > 1:
                continue
            first, second = parties(world, sender, source), parties(world, receiver, destination)
            out = None if source is None else world.gates.egress[source]
            into = None if destination is None else world.gates.ingress[destination]
            if destination is not None and _is_own_node(world, sender, destination):
                into = None
            each = {
                family: _through(world, out, family, destination, receiver)
                & _through(world, into, family, source, sender)
                for family in sorted(first.keys() & second.keys())
            }
            if any(party.address is None for party in (*first.values(), *second.values())) and each:
                each = dict.fromkeys(each, whichever(each.values()))  # nobody knows which family it has
            for family, judged in each.items():
                found.setdefault(family, []).append(judged)
    return one_if_equal({f: whichever(each) for f, each in found.items()}) if found else {0: CLOSED}


def _is_own_node(world: World, sender: End, host: int) -> bool:
    """A node always reaches its own pods (NP-090)."""
    return bool(sender.node) and {pod.node for pod in world.claimants(host)} == {sender.node}


def _through(world: World, gate: Gate | None, family: int, host: int | None, other: End) -> Judged:
    """What a gate lets through to or from a host, or an address that no pod has."""
    if gate is None:
        return OPEN
    if host is not None:
        return world.gates.judge(gate, host, family)
    decider = Decider(gate.certain)
    classes = classify_unnamed(decider, family)
    if other.address is not None:
        ports = decider.masks.ports(classes.of_unnamed(other.address[1]))
        return Judged(ports, ports)
    every = [decider.masks.ports(mask) for mask in (classes.default, *(mask for _, mask in classes.ranges))]
    return whichever(Judged(ports, ports) for ports in every)
