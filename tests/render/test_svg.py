"""The picture of a matrix: what is in it, and that a README shows the one that is drawn now."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from policyd.ask.exposure import letting_all_in
from policyd.ask.reach import reach
from policyd.render.matrix import Matrix, matrix_of, summary
from policyd.render.svg import MOST_WITH_TEXT, svg
from tests.asking import world_of
from tests.cli.calls import ROOT
from tests.render.worlds import boutique, chain, chain_objects

SVG = "{http://www.w3.org/2000/svg}"


def shop() -> tuple[Matrix, str]:
    world = boutique()
    ids = {each.id for each in world.endpoints}
    return matrix_of(reach(world), None, ids, letting_all_in(world)), summary(world)


def test_the_picture_of_the_readme_is_the_one_that_is_drawn() -> None:
    """`make reach-picture` draws it again."""
    assert (ROOT / "docs" / "reach.svg").read_text() == svg(*shop())


def test_only_what_lets_all_others_in_is_wide_open() -> None:
    assert letting_all_in(world_of(chain_objects(3))) == {"left/pod/p000"}


def test_what_is_wide_open_is_told() -> None:
    matrix, _ = shop()
    assert matrix.wide_open == {"default/deploy/frontend"}
    assert "Lets all others in: default/frontend" in svg(matrix)


def chain_matrix(size: int) -> Matrix:
    return matrix_of(chain(size))


def test_a_cell_says_its_ports_and_whole_when_pointed_at() -> None:
    root = ET.fromstring(svg(chain_matrix(3)))  # noqa: S314 our own output
    tips = {each.text for each in root.iter(f"{SVG}title")}
    assert "left/p000 → right/p001: 80" in tips
    assert not any(tip and tip.startswith("right/p001 → left/p002: all") for tip in tips)
    assert "outside → left/p000: all (v4 only)" in tips


def test_a_large_picture_is_small() -> None:
    """Of many columns no cell is an element of its own."""
    size = MOST_WITH_TEXT + 28
    text = svg(chain_matrix(size))
    root = ET.fromstring(text)  # noqa: S314 our own output
    assert len(list(root.iter())) < 4 * size
    assert len(text) < 250_000
    assert {path.get("class") for path in root.iter(f"{SVG}path")} == {
        "none",
        "paper",
        "itself",
        "mark",
        "all",
    }


def test_it_is_light_and_dark_and_takes_nothing_from_elsewhere() -> None:
    text = svg(chain_matrix(3))
    assert "prefers-color-scheme: dark" in text
    assert not any(word in text for word in ("href", "<script", "url(", "@import"))


def test_nothing_at_all_is_a_picture_too() -> None:
    ET.fromstring(svg(Matrix((), (), {}), "nothing"))  # noqa: S314 our own output
