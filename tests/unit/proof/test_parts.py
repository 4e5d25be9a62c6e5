"""Boxes are led on in few pieces, and none of their packets is lost or becomes another."""

from __future__ import annotations

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from policyd.proof.parts import Parts
from policyd.proof.space import Box
from policyd.proof.walk import Outcome, joined

BITS = 12
masks = st.integers(0, (1 << BITS) - 1)


@given(masks, st.lists(masks, max_size=9))
def test_of_a_bit_in_several_parts_the_first_counts(value: int, parts: list[int]) -> None:
    met = dict.fromkeys(range(BITS))
    for inside, number in Parts(0, zip(parts, range(len(parts)), strict=True)).met(value):
        assert inside
        for bit in range(BITS):
            if inside >> bit & 1:
                assert met[bit] is None
                met[bit] = number
    for bit in range(BITS):
        first = next((n for n, part in enumerate(parts) if part & value & 1 << bit), None)
        assert met[bit] == first


small = st.integers(1, 7)
outcomes = st.builds(
    Outcome,
    st.tuples(small, small, small),
    st.sampled_from(["accept", "drop"]),
    st.sampled_from([frozenset(), frozenset({"in4"})]),
    st.sampled_from(["a", "b"]),
    st.integers(0, 1),
)


def packets(outcome: Outcome) -> set[tuple[object, ...]]:
    return {(*bits, *outcome[1:]) for bits in product(*map(_bits, outcome.box))}


def _bits(mask: int) -> Box:
    return tuple(bit for bit in range(mask.bit_length()) if mask >> bit & 1)


@given(st.lists(outcomes, max_size=8))
def test_joined_boxes_have_the_same_packets_with_the_same_end(many: list[Outcome]) -> None:
    found = joined(many, (0, 1))
    assert set().union(*map(packets, found)) == set().union(*map(packets, many))
    assert len(found) <= len(many)
