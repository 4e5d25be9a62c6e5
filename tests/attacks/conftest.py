"""One bed of each wiring in a worker: first without rules, then with those of policyd's agents."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attacks.enforcing import enforced
from tests.attacks.judge import Judged, comes_without_rules, judge, must_come
from tests.attacks.lab_bed import open_bed
from tests.lab.leftovers import leftovers


@pytest.fixture(scope="session")
def nothing_left() -> Iterator[None]:
    """At the end this process has no namespace and no child that it did not have at the beginning."""
    before = leftovers()
    yield
    assert leftovers() == before


@pytest.fixture(scope="session", params=["routed", "bridged"])
def judged(
    request: pytest.FixtureRequest, nothing_left: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Judged]:
    """Give what came through of every row, without rules and with them."""
    folder: Path = tmp_path_factory.mktemp("agents")
    with open_bed(request.param) as bed:
        before = judge(bed, comes_without_rules)
        with enforced(bed, folder):
            bed.heal()
            yield Judged(bed, before, judge(bed, must_come))
