"""docs/reliability.md names tests that exist."""

from __future__ import annotations

import re

import pytest

from tests.support.sources import ROOT

PAGE = (ROOT / "docs" / "reliability.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))


def test_every_row_names_a_test() -> None:
    rows = [line for line in PAGE.partition("## The soak")[0].splitlines() if line.startswith("| ")]
    heads = [row for row in rows if row.endswith("| test |")]
    assert len(heads) > 3
    assert [
        row for row in rows if row not in heads and not re.search(r"`tests/[\w/]+\.py::\w+` \|$", row)
    ] == []


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_what_is_named_exists(file: str, name: str) -> None:
    text = (ROOT / file).read_text()
    assert re.search(rf"^\s*(?:(?:async )?def|class) {name}\b|^{name} = ", text, re.MULTILINE), (
        f"{file}::{name}"
    )
