"""Whatever is written can be read: text beside what is behind it, in contrast as WCAG 2 counts (AA)."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from policyd.render.colors import DARK, LIGHT

ENOUGH = 4.5
PAIRS = [
    *(("paper", name) for name in ("text", "quiet", "wide", "opened", "closed")),
    ("none", "quiet"),
    *((name, f"on-{name}") for name in ("all", "some", "unknown", "opened", "closed", "both", "kept")),
]


def luminance(color: str) -> float:
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("colors", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize(("behind", "before"), PAIRS, ids=lambda name: name)
def test_text_can_be_read(colors: Mapping[str, str], behind: str, before: str) -> None:
    low, high = sorted((luminance(colors[behind]), luminance(colors[before])))
    assert (high + 0.05) / (low + 0.05) >= ENOUGH


def test_both_themes_name_the_same_colors() -> None:
    assert list(LIGHT) == list(DARK)
