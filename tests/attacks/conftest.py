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


@pytest.fixture(scope="session", params=["routed", "bridged", "routed-inside", "bridged-inside"])
def judged(
    request: pytest.FixtureRequest, nothing_left: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Judged]:
    """Give what came through of every row: without rules, and with the node's, or each pod's own, too."""
    folder: Path = tmp_path_factory.mktemp("agents")
    wiring, _, inside = request.param.partition("-")
    with open_bed(wiring) as bed:
        before = judge(bed, comes_without_rules)
        with enforced(bed, folder, inside=bool(inside)):
            bed.heal()
            yield Judged(bed, before, judge(bed, must_come))
