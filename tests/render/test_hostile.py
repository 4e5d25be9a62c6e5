"""Names, labels and paths of files are somebody else's text: wherever they stand, they stay text.

An API server takes few characters as names, but a file says what it likes, and so does a path.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable

import pytest

from policyd.ask.endpoints import Endpoint
from policyd.ask.exposure import Exposed, Exposure
from policyd.ask.fits import Packet, Reference
from policyd.ask.hops import Hops, Step
from policyd.ask.published import Missing, Published
from policyd.render.cells import Cell
from policyd.render.exposed import markdown as exposed_markdown
from policyd.render.graphs import dot, mermaid
from policyd.render.matrix import Line, Matrix
from policyd.render.svg import MOST_WITH_TEXT, svg
from policyd.render.tables import markdown
from policyd.render.ways import markdown as ways_markdown
from policyd_compiler.ports import EVERYTHING
from tests.render.worlds import HOSTILE


def matrix(text: str, size: int) -> Matrix:
    names = tuple(Line(f"{text}{number}", f"{text}{number}", text) for number in range(size))
    return Matrix(names, names, {(names[0].id, names[1].id): Cell(text, "some")})


def opened(text: str) -> str:
    end = endpoint(text)
    rule = Reference(text, text, text, text, 1)
    found = Published(text, (text,), text, end, Packet("TCP", 80), (text,), outside=True)
    exposed = Exposed(end, "everybody", EVERYTHING, (rule,))
    return exposed_markdown(Exposure((end,), (exposed,), (), (text,), (found, Missing(text, text))))


def reached(text: str) -> str:
    end = endpoint(text)
    return ways_markdown(Hops((end,), (text,), 1, ((Step(text, text, EVERYTHING),),), (text,)))


def endpoint(text: str) -> Endpoint:
    return Endpoint(text, text, "Pod", text, (), (), ())


def lines_of(text: str) -> list[str]:
    """Lines, as a reader of the format has them."""
    return text.removesuffix("\n").split("\n")


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_tables_and_graphs_have_no_more_lines_than_for_a_harmless_name(text: str) -> None:
    for printed in (markdown, mermaid, dot):
        found = lines_of(printed(matrix(text, 2), text))
        assert len(found) == len(lines_of(printed(matrix("a", 2), "a")))
        assert all(line.isprintable() for line in found)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("printed", [opened, reached])
def test_exposure_and_hops_are_as_harmless(text: str, printed: Callable[[str], str]) -> None:
    found = lines_of(printed(text))
    assert len(found) == len(lines_of(printed("a")))
    assert all(line.isprintable() for line in found)
    assert not set("<>") & set(re.sub(r"\\[<>]|<br>", "", printed(text)))


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_markdown_and_mermaid_hold_no_html(text: str) -> None:
    for printed in (markdown, mermaid):
        without = re.sub(r"\\[<>]|[-=.]+>", "", printed(matrix(text, 2), text))
        assert not set("<>") & set(without)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_texts_of_a_graph_end_where_they_end(text: str) -> None:
    for line in lines_of(dot(matrix(text, 2), text)):
        assert len(re.findall(r'(?<!\\)(?:\\\\)*"', line)) % 2 == 0
    for line in lines_of(mermaid(matrix(text, 2), ""))[1:]:
        assert line.count('"') in (0, 2)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("size", [2, MOST_WITH_TEXT + 1])
def test_a_picture_has_only_its_own_elements(text: str, size: int) -> None:
    root = ET.fromstring(svg(matrix(text, size), text).encode())  # noqa: S314 our own output
    elements = {each.tag.rpartition("}")[2] for each in root.iter()}
    assert elements <= {"svg", "style", "rect", "text", "g", "title", "path"}
    assert {name for each in root.iter() for name in each.attrib if name.startswith("on")} == set()
