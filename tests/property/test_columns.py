"""Which masks hold which hosts of a group, read by columns, is what combining them says."""

from __future__ import annotations

from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from policyd.ask import columns
from policyd.cluster.index import bits_of

SIZE = 40
masks = st.lists(st.integers(0, (1 << SIZE) - 1), max_size=12)


@given(masks, masks, st.sampled_from([0, 3, 64]))
def test_columns_hold_what_the_masks_hold(held: list[int], groups: list[int], few: int) -> None:
    with patch.object(columns, "_FEW", few):
        made = columns.Columns(held, groups)
        for group in groups:
            found = made.holding(group)
            assert {number for number, mask in enumerate(held) if mask & group} <= set(bits_of(found.any))
            assert [found.by(number) for number in range(len(held))] == [mask & group for mask in held]
