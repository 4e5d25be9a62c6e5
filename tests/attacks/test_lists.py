"""The lists are whole: each row is known by its name, and what is admitted or open is a row."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.attacks.attack import EVERYWHERE, Attack, Row
from tests.attacks.judge import ATTACKS, HONEST, TABLES
from tests.attacks.open_rows import OPEN

ROWS: tuple[Row, ...] = (*ATTACKS, *HONEST)


def test_each_row_has_a_name_of_its_own() -> None:
    assert [name for name, count in Counter(row.name for row in ROWS).items() if count > 1] == []
    assert Counter(row.name for table in TABLES for row in table) == Counter(row.name for row in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_places_are_places(row: Row) -> None:
    stated = [row.at, OPEN.get(row.name, "")]
    if isinstance(row, Attack):
        stated += [row.kernel, row.admitted]
    for text in stated:
        assert set(text.split()) <= set(row.at.split()) <= set(EVERYWHERE.split())


def test_what_is_open_is_a_row() -> None:
    assert OPEN.keys() <= {row.name for row in ROWS}
