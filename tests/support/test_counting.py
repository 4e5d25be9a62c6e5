"""What is counted grows with the work, wherever the loop stands."""

from __future__ import annotations

import pytest

from tests.support.counting import lines_run


def loop(turns: int) -> None:
    for _ in range(turns):
        pass


@pytest.mark.parametrize(
    "work", [loop, lambda n: [m + 1 for m in range(n)], lambda n: sum(1 for _ in range(n))]
)
def test_each_turn_is_counted(work: object) -> None:
    assert callable(work)
    few, many = lines_run(lambda: work(100)), lines_run(lambda: work(1100))
    assert 1000 <= many - few <= 3000


def test_the_same_work_is_the_same_count() -> None:
    assert lines_run(lambda: loop(50)) == lines_run(lambda: loop(50))
