"""The matrix: what was measured and what of it was not expected, readable without colours, in 80 columns."""

from __future__ import annotations

from policyd.demo.matrix import Difference, colored, differences, plain, render
from policyd.demo.scene import Reach, read_scene, read_table

SOURCES = ("shop/web", "node")
TARGETS = ("web:80", "db:53/udp")
EXPECTED = read_table("""
          web:80  db:53/udp
shop/web    .       v4
node       yes      -
""")


def grid(measured: Reach, before: Reach | None = None) -> str:
    return render(SOURCES, TARGETS, EXPECTED, measured, plain, before)


def measured(**changes: frozenset[int]) -> Reach:
    """What was expected, but for what the node reaches."""
    return {**EXPECTED, **{("node", TARGETS[name == "db"]): reach for name, reach in changes.items()}}


def test_the_grid_says_who_asks_and_has_a_word_for_each_family() -> None:
    assert grid(EXPECTED).splitlines() == [
        "  rows ask,         web      db",
        "  columns answer     80      53",
        "                            udp",
        "  shop/web                   v4",
        "  node              yes       -",
    ]


def test_what_is_not_as_expected_is_marked() -> None:
    lines = grid(measured(web=frozenset({6}), db=frozenset({4, 6}))).splitlines()
    assert lines[-1] == "  node               v6!    yes!"
    assert lines[-2] == "  shop/web                   v4"


def test_what_has_changed_is_marked() -> None:
    before = {**EXPECTED, ("node", "web:80"): frozenset[int]()}
    assert grid(EXPECTED, before).splitlines()[-1] == "  node              yes*      -"


def test_a_difference_counts_more_than_a_change() -> None:
    changed = measured(web=frozenset())
    assert grid(changed, before=EXPECTED).splitlines()[-1] == "  node                -!      -"


def test_every_family_is_a_difference_of_its_own() -> None:
    assert differences(EXPECTED, measured(web=frozenset(), db=frozenset({6}))) == (
        Difference("node", "web:80", 4, answered=False),
        Difference("node", "web:80", 6, answered=False),
        Difference("node", "db:53/udp", 6, answered=True),
    )
    assert differences(EXPECTED, EXPECTED) == ()


def test_a_difference_is_a_sentence() -> None:
    difference = Difference("node", "db:53/udp", 6, answered=True)
    assert str(difference) == "node to db:53/udp over IPv6: answered, but should not be"


def test_colours_change_no_character() -> None:
    wrong = measured(web=frozenset())
    painted = render(SOURCES, TARGETS, EXPECTED, wrong, lambda text, style: f"<{style}>{text}</>", EXPECTED)
    assert "<red>      -!</>" in painted
    assert "<green>     v4</>" in painted
    for style in ("bold", "dim", "green", "red", "yellow"):
        painted = painted.replace(f"<{style}>", "")
    assert painted.replace("</>", "") == grid(wrong, EXPECTED)


def test_colours_end_where_they_began() -> None:
    assert colored("no", "red") == "\x1b[1;31mno\x1b[0m"


def test_the_scene_fits_a_terminal() -> None:
    scene = read_scene()
    sources = [source.name for source in scene.sources]
    targets = [target.label for target in scene.targets]
    lines = render(sources, targets, scene.expected, scene.expected, plain).splitlines()
    assert max(map(len, lines)) < 80
    assert [line for line in lines if line != line.rstrip()] == []
