"""docs/security.md names tests that exist, and admits exactly what comes through."""

from __future__ import annotations

import re

import pytest

from tests.attacks.judge import ATTACKS
from tests.attacks.open_rows import OPEN
from tests.support.sources import ROOT

PAGE = (ROOT / "docs" / "security.md").read_text()
TRIED, _, REMAINS = PAGE.partition("## What remains")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)))


def rows(text: str) -> list[list[str]]:
    """The cells of each row of its tables, heads and rules left out."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if row[0] not in ("who tries what", "name")]


def test_every_row_names_a_test_or_says_that_it_is_believed() -> None:
    tables = rows(TRIED)
    assert len(tables) > 30
    untested = [row[0] for row in tables if not row[2].startswith("`tests/")]
    assert untested == [row[0] for row in tables if row[1].startswith("believed")]


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_what_is_named_exists(file: str, name: str) -> None:
    text = (ROOT / file).read_text()
    if name:
        assert re.search(rf"^\s*(?:(?:async )?def|class) {name}\b|^{name} = ", text, re.MULTILINE)


def test_it_says_whether_all_of_it_holds() -> None:
    assert ("`tests/attacks/open_rows.py` lists what does not hold yet" in PAGE) is bool(OPEN)


def test_what_comes_through_is_admitted() -> None:
    admitted = {row[0] for row in rows(REMAINS)}
    tried = {attack.because for attack in ATTACKS if attack.admitted}
    assert "" not in tried
    assert tried <= admitted
    assert {attack.because for attack in ATTACKS if not attack.admitted} == {""}
