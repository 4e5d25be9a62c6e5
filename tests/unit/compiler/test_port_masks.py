"""Masks as keys: what few rules tell apart must not make dictionaries slow."""

from __future__ import annotations

import pytest

from policyd_compiler.lower.port_masks import spread


@pytest.mark.parametrize("shared", [0, 1, 1 << 10_000, 1 << 10_000 | 1])
def test_masks_that_differ_by_a_bit_are_spread_over_a_dictionary(shared: int) -> None:
    """Each rule has a port of its own, and maybe others that all have."""
    masks = [1 << n | shared for n in range(1, 10_000)]
    assert len({hash(mask) for mask in masks}) < 100, "there is nothing to fix any more"
    assert len({hash(spread(mask)) for mask in masks}) == len(masks)


def test_keys_are_equal_where_masks_are() -> None:
    assert spread(1 << 70) == spread(1 << 70)
    assert len({spread(mask) for mask in range(1000)}) == 1000
