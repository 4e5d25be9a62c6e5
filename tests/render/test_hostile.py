"""Names, labels and paths of files are somebody else's text: wherever they stand, they stay text.

An API server takes few characters as names, but a file says what it likes, and so does a path.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from policyd.render.cells import Cell
from policyd.render.matrix import Line, Matrix
from policyd.render.svg import MOST_WITH_TEXT, svg

HOSTILE = (
    '"><script>alert(1)</script>',
    "</title></svg><img src=x onerror=alert(1)>",
    "a&b]]>--><!--",
    "\x00\x1b[31m\ud800\u202e\n",
    "';alert(1)//${x}`",
)


def matrix(text: str, size: int) -> Matrix:
    names = tuple(Line(f"{text}{number}", f"{text}{number}", text) for number in range(size))
    return Matrix(names, names, {(names[0].id, names[1].id): Cell(text, "some")})


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("size", [2, MOST_WITH_TEXT + 1])
def test_a_picture_has_only_its_own_elements(text: str, size: int) -> None:
    root = ET.fromstring(svg(matrix(text, size), text).encode())  # noqa: S314 our own output
    elements = {each.tag.rpartition("}")[2] for each in root.iter()}
    assert elements <= {"svg", "style", "rect", "text", "g", "title", "path"}
    assert {name for each in root.iter() for name in each.attrib if name.startswith("on")} == set()
