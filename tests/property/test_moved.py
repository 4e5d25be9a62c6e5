"""Pairs of endpoints that do not behave differently have the same answer in both worlds."""

from __future__ import annotations

from hypothesis import given

from policyd.ask.moved import moved
from policyd.ask.pairs import Answer, pairs
from policyd.ask.world import World
from tests.asking import two_worlds, world_of
from tests.cases.form import ingress, namespace, pod


def answers(world: World) -> dict[tuple[str, str], Answer]:
    ids = [endpoint.id for endpoint in world.endpoints]
    return {(ids[pair.sender], ids[pair.receiver]): pair.answer for pair in pairs(world)}


@given(two_worlds())
def test_who_has_not_moved_is_answered_alike(both: tuple[World, World]) -> None:
    old, new = both
    common = [endpoint.id for endpoint in new.endpoints if endpoint.id in old.number]
    which = moved(old, new, common)
    before, after = answers(old), answers(new)
    for sender in set(common) - which.senders:
        for receiver in set(common) - which.receivers - {sender}:
            assert before.get((sender, receiver)) == after.get((sender, receiver))


@given(two_worlds())
def test_some_pairs_are_answered_as_among_all(both: tuple[World, World]) -> None:
    world = both[0]
    everything = {(pair.sender, pair.receiver): pair.answer for pair in pairs(world)}
    some = set(range(0, len(world.endpoints), 2))
    found = {(pair.sender, pair.receiver): pair.answer for pair in pairs(world, some, some)}
    assert found == {key: answer for key, answer in everything.items() if some.issuperset(key)}


def test_a_policy_that_goes_moves_whom_it_selects() -> None:
    """Without which all pairs of ten thousand pods would be asked about."""
    objects = [namespace("a"), *(pod(f"a/p{n}", f"10.244.1.{n}") for n in range(1, 9))]
    old, new = world_of([*objects, ingress("a", "p1")]), world_of(objects)
    which = moved(old, new, [endpoint.id for endpoint in new.endpoints])
    assert (which.senders, which.receivers) == (frozenset(), frozenset({"a/pod/p1"}))
