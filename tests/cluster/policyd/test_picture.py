"""A drawn session shows what was typed and printed, and tells a failure by its colour."""

from __future__ import annotations

from xml.etree import ElementTree

from tests.cluster.policyd.terminal import Command, draw

SPAN = "{http://www.w3.org/2000/svg}tspan"
SESSION = (Command("cat <<END\n<a> & b\nEND", "<a> & b\n", 0), Command("reach", "TIMEOUT\n", 1))


def drawing(title: str, session: tuple[Command, ...]) -> ElementTree.Element:
    return ElementTree.fromstring(draw(title, session))  # noqa: S314 - we wrote it ourselves


def test_a_picture_shows_every_line_as_it_was() -> None:
    drawn = drawing('"Title" & <more>', SESSION)
    spans = [(span.get("class"), span.text) for span in drawn.iter(SPAN)]
    assert spans == [
        ("prompt", "$ "),
        ("typed", "cat <<END"),
        ("typed", "<a> & b"),
        ("typed", "END"),
        ("printed", "<a> & b"),
        ("prompt", "$ "),
        ("typed", "reach"),
        ("bad", "TIMEOUT"),
    ]
    assert drawn.get("aria-label") == '"Title" & <more>'


def test_a_picture_is_as_wide_and_high_as_its_session() -> None:
    wider = (*SESSION, Command("true", "x" * 200, 0))
    narrow, wide = (drawing("", session) for session in (SESSION, wider))
    assert float(narrow.get("width", "")) < 200 * 7 < float(wide.get("width", ""))
    heights = [float(drawn.get("viewBox", "").split()[3]) for drawn in (narrow, wide)]
    assert heights[1] - heights[0] == 2 * 20
