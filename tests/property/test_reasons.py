"""What a page puts together from needs is what `why` makes of each rule."""

from __future__ import annotations

from typing import Any

from hypothesis import given

from policyd.ask.ends import End, end_of, parties
from policyd.ask.fits import Packet, fits
from policyd.ask.world import World
from policyd.render.reasons import DIRECTIONS, reasons
from tests.asking import ANY_WORLD, world_of
from tests.oracle import Manifest

PROBE = Packet("TCP", 80)


def fit(data: Any, rule: Any, end: int) -> bool | None:
    """As the page's script has it."""
    found: set[bool | None] = {True}
    for number in rule["needs"]:
        need = data["needs"][number]
        found.add(is_in(need["yes"], end) or (None if is_in(need["part"], end) else False))
    return False if False in found else None if None in found else True


def is_in(ranges: list[int], number: int) -> bool:
    return any(low <= number <= high for low, high in zip(ranges[::2], ranges[1::2], strict=True))


def peers_that_fit(world: World, subject: End, other: End, direction: Any) -> dict[Any, set[bool | None]]:
    """By the place of a peer, what `why` makes of it, over all pods and families of the other end."""
    found: dict[Any, set[bool | None]] = {}
    pods = [pod for host in subject.hosts for pod in world.claimants(host)]
    for pod in pods:
        for policy in world.selecting[pod.namespace, pod.labels]:
            for host in other.hosts or (None,):
                for party in parties(world, other, host).values():
                    for each in fits(world, policy, direction, pod, party, PROBE):
                        place = each.reference.policy, each.reference.peer or each.reference.rule
                        found.setdefault(place, set()).add(each.peer)
    return found


@given(ANY_WORLD)
def test_a_peer_fits_whom_why_says_it_fits(objects: list[Manifest]) -> None:
    world = world_of(objects)
    data = reasons(world)
    ends = [*(end_of(world, each) for each in world.endpoints), End(anywhere=True)]
    others = [*enumerate(ends)][-4:]
    for subject in range(len(world.endpoints[:3])):
        for direction in DIRECTIONS:
            policies = [data["policies"][number] for number in data["sides"][subject][direction]["policies"]]
            for other, end in others:
                expected = peers_that_fit(world, ends[subject], end, direction)
                for policy in policies:
                    for rule in policy[direction]:
                        said, known = fit(data, rule, other), expected[policy["name"], rule["at"]]
                        # What is not alike for all pods of an endpoint is in part.
                        assert said in known if len(known) == 1 else said is None or False in known, rule
