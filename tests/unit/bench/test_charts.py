"""The pictures show the figures that are there, in the same bytes each time."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from bench.charts import Axis, charts

SVG = "{http://www.w3.org/2000/svg}"


MACHINE = {"processor": "A & B", "kernel": "Linux 6.18", "nft": "nftables v1.0.6 (Lester)", "load": 0.5}


PACKETS = {"packets/new-v4/1": 1.02, "packets/new-v4/1000": 1.05, "packets/known-v6/1": 0.9}
CHANGES = {"1000/remote-pod": 5.0, "10000/remote-pod": 50.0, "100000/remote-pod": 500.0}


def circles(text: str) -> list[tuple[float, float]]:
    tree = ElementTree.fromstring(text)  # noqa: S314  ours
    return [(float(c.attrib["cx"]), float(c.attrib["cy"])) for c in tree.iter(f"{SVG}circle")]


def test_equal_figures_give_equal_bytes() -> None:
    """Also in another order."""
    medians = PACKETS | CHANGES | {"packets/new-v6/1": 1.03, "packets/new-v6/1000": 1.06}
    again = dict(reversed(medians.items()))
    assert charts(medians, MACHINE) == charts(again, MACHINE)


def test_only_what_has_figures_is_drawn() -> None:
    assert charts({}, MACHINE) == {}
    assert list(charts(PACKETS, MACHINE)) == ["packets.svg"]
    assert list(charts(CHANGES, MACHINE)) == ["changes.svg"]


def test_a_line_has_a_point_for_each_figure() -> None:
    """The one of a single number of policies is no line."""
    text = charts(PACKETS, MACHINE)["packets.svg"]
    assert len(circles(text)) == 2
    assert "new flow, IPv4" in text
    assert "established, IPv6" not in text
    assert "aim: 1.1" in text


def test_ten_times_as_much_is_as_far_each_time() -> None:
    """Ten times as many pods, ten times as long: a straight line from corner to corner."""
    (ax, ay), (bx, by), (cx, cy) = circles(charts(CHANGES, MACHINE)["changes.svg"])
    assert (bx - ax, by - ay) == pytest.approx((cx - bx, cy - by), abs=0.2)
    assert ax < bx
    assert ay > by  # what takes longer is higher


def test_points_lie_within_the_frame() -> None:
    for medians in (PACKETS, {"packets/new-v4/1": 0.4, "packets/new-v4/10": 7.0}, CHANGES):
        for text in charts(medians, MACHINE).values():
            assert all(64 <= x <= 560 and 48 <= y <= 340 for x, y in circles(text))


def test_it_says_where_it_was_measured_and_suits_both_grounds() -> None:
    text = charts(PACKETS, MACHINE)["packets.svg"]
    assert "A &amp; B, Linux 6.18, nftables v1.0.6, load 0.5 at the start" in text
    light, dark = text.split("@media (prefers-color-scheme: dark)")
    used = set(re.findall(r'class="line (l\d)"', text))
    assert used
    for name in used:
        assert f".{name} {{" in light
        assert f".{name} {{" in dark


def test_an_axis_of_one_tick_has_a_middle() -> None:
    assert Axis("", (5.0,), log=True).share(5.0) == 0.5
    assert Axis("", (1.0, 2.0), log=False).share(1.25) == 0.25
