"""All ports between two ends at once. Pure."""

from __future__ import annotations

from policyd.ask.ends import End, parties, stranger
from policyd.ask.judged import CLOSED, OPEN, UNDECIDED, Judged, whichever
from policyd.ask.pairs import Answer, one_if_equal
from policyd.ask.rectangles import ANY_FAMILY
from policyd.ask.tiers import through
from policyd.ask.why import stands_for_many
from policyd.ask.world import World


def judge_all(world: World, sender: End, receiver: End) -> Answer:
    """What one end may send to another, by family. It is nothing if they have no family in common."""
    found: dict[int, list[Judged]] = {}
    sure = True
    doubt = UNDECIDED if stranger(world, sender) or stranger(world, receiver) else OPEN
    for source in sender.hosts or (None,):
        for destination in receiver.hosts or (None,):
            if source is not None and source == destination and not stands_for_many(world, source):
                continue
            first, second = parties(world, sender, source), parties(world, receiver, destination)
            out = None if source is None else world.gates.egress[source]
            into = None if destination is None else world.gates.ingress[destination]
            if destination is not None and _is_own_node(world, sender, destination):
                into = None
            for family in sorted(first.keys() & second.keys()):
                judged = through(world, out, family, destination, receiver)
                judged &= through(world, into, family, source, sender)
                found.setdefault(family, []).append(judged & doubt)
                sure &= first[family].address is not None and second[family].address is not None
    if found:
        answers = {family: whichever(each) for family, each in found.items()}
        return one_if_equal(answers if sure else {ANY_FAMILY: whichever(answers.values())})
    if not set(sender.hosts) & set(receiver.hosts):
        return {ANY_FAMILY: CLOSED}
    return {ANY_FAMILY: OPEN if sender.endpoint == receiver.endpoint else UNDECIDED}


def _is_own_node(world: World, sender: End, host: int) -> bool:
    """A node always reaches its own pods (NP-090)."""
    return bool(sender.node) and {pod.node for pod in world.claimants(host)} == {sender.node}
