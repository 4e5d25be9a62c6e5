"""What a change opens and closes, as a matrix, a picture and a page."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest

from policyd.ask.diff import difference
from policyd.cli.diff_pictures import PICTURES, Sides
from policyd.render.compared import only_changed
from policyd.render.svg import MOST_WITH_TEXT, svg
from tests.asking import world_of
from tests.cases.form import ingress, pods
from tests.oracle import Manifest
from tests.render.worlds import HOSTILE, chain_objects


def sides(size: int, *changed: Manifest) -> Sides:
    """A chain, and the same with these policies in place of those of their names."""
    names = {(each["metadata"]["namespace"], each["metadata"]["name"]) for each in changed}
    objects = chain_objects(size)
    kept = [
        each
        for each in objects
        if each["kind"] != "NetworkPolicy"
        or (each["metadata"]["namespace"], each["metadata"]["name"]) not in names
    ]
    old, new = world_of(objects), world_of([*kept, *changed])
    return Sides(old, new, difference(old, new))


def swapped(size: int) -> Sides:
    """The last but one is no longer asked by who came before it, but by the first, and at another port."""
    place, name = ("left", "right")[(size - 2) % 2], f"p{size - 2:03}"
    asker = pods(pod="p000") | {"namespaceSelector": {}}
    return sides(size, ingress(place, name, {"from": [asker], "ports": [{"port": 81}]}, name=name))


def test_cells_say_what_opens_and_what_closes() -> None:
    matrix = swapped(4).matrix
    changed = {ends: (cell.text, cell.change) for ends, cell in matrix.cells.items() if cell.change}
    assert changed == {
        ("left/pod/p000", "left/pod/p002"): ("+81", "opened"),
        ("right/pod/p001", "left/pod/p002"): ("−80", "closed"),
    }
    assert {matrix.kind(s, r) for s in matrix.senders for r in matrix.receivers} == {
        "opened", "closed", "kept", "none", "itself",
    }  # fmt: skip


def test_a_pair_may_open_and_close() -> None:
    before = pods(pod="p000") | {"namespaceSelector": {}}
    found = sides(2, ingress("right", "p001", {"from": [before], "ports": [{"port": 81}]}, name="p001"))
    [cell] = [cell for cell in found.matrix.cells.values() if cell.change]
    assert (cell.text, cell.change) == ("+81 −80", "both")


def test_of_a_large_cluster_the_picture_has_what_changes() -> None:
    found = swapped(MOST_WITH_TEXT + 8)
    matrix = only_changed(found.matrix)
    assert (len(matrix.senders), len(matrix.receivers)) == (2, 1)
    text = svg(found.matrix, found.said)
    assert "+81" in text
    assert "p010" not in text


def test_who_newly_lets_all_others_in_is_told() -> None:
    found = sides(3, ingress("left", "p002", {}, name="p002"))
    assert found.matrix.wide_open == {"left/pod/p002"}
    assert "Now lets all others in: left/p002" in PICTURES["svg"](found)
    assert "now let all others in" in PICTURES["html"](found)


def test_the_page_names_the_rules_that_open_and_close() -> None:
    text = PICTURES["html"](swapped(4))
    data = json.loads(text.split('id="data">')[1].split("</script>")[0])
    told = {
        tuple(data["ends"][int(end)]["name"] for end in pair.split(",")): changes
        for pair, changes in data["changes"].items()
    }
    assert told == {
        ("left/p000", "left/p002"): [
            {"side": "new", "text": "81", "by": ["left/p002 ingress[0].from[0] (world.json:1)"]}
        ],
        ("right/p001", "left/p002"): [
            {"side": "old", "text": "80", "by": ["left/p002 ingress[0].from[0] (world.json:1)"]}
        ],
    }


def test_nothing_is_a_picture_too() -> None:
    found = sides(3)
    assert "no difference" in PICTURES["svg"](found)
    assert "no difference" in PICTURES["html"](found)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_notes_stay_text(text: str) -> None:
    found = swapped(4)
    hostile = Sides(found.old, found.new, found.found, [text])
    root = ET.fromstring(PICTURES["svg"](hostile).encode())  # noqa: S314 our own output
    assert {each.tag.rpartition("}")[2] for each in root.iter()} <= {
        "svg",
        "style",
        "rect",
        "text",
        "g",
        "title",
    }
    counts = [
        PICTURES["html"](each).count("<")
        for each in (hostile, Sides(found.old, found.new, found.found, ["a"]))
    ]
    assert counts[0] == counts[1]
