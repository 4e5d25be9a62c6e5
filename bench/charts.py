"""`python -m bench.charts [JSON] [FOLDER]`: pictures of what `bench.full` wrote.

`packets.svg`: what a packet costs against connection tracking alone, by the number of policies.
`changes.svg`: how long a change takes, by the size of the cluster. A picture without figures in the JSON is
not drawn. Equal figures give equal bytes. Readable on light and dark ground.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from bench.full import OUTPUT
from bench.rows import stored

FOLDER = Path("docs")
WIDTH, HEIGHT = 810, 400
LEFT, TOP, RIGHT, BOTTOM = 64, 48, 560, 340
COLOURS = (
    ("#0969da", "#58a6ff"),
    ("#bc4c00", "#f0883e"),
    ("#1a7f37", "#56d364"),
    ("#8250df", "#bc8cff"),
    ("#cf222e", "#ff7b72"),
    ("#57606a", "#b1bac4"),
)
DASHES = ("", "6 3", "2 3", "10 3", "8 3 2 3", "4 4")
PACKETS = {
    "new-v4": "new flow, IPv4",
    "new-v6": "new flow, IPv6",
    "known-v4": "established, IPv4",
    "known-v6": "established, IPv6",
}
EVENTS = {
    "remote-pod": "pod of another node",
    "local-pod-known": "pod of the node",
    "local-pod-new": "the same, new isolation",
    "policy-edited": "policy of 100 pods",
    "namespace-relabelled": "namespace",
}
Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Axis:
    """From the first to the last tick; `log`: equal ratios, not differences, are equally long."""

    label: str
    ticks: tuple[float, ...]
    log: bool

    def share(self, value: float) -> float:
        """How far along a value lies, from 0 to 1."""
        scale: Callable[[float], float] = math.log10 if self.log else float
        first, last = scale(self.ticks[0]), scale(self.ticks[-1])
        return (scale(value) - first) / (last - first) if last > first else 0.5


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines by name; `aim` is a level of y, drawn where there is one."""

    title: str
    x: Axis
    y: Axis
    lines: Mapping[str, Points]
    aim: float | None = None


def charts(medians: Mapping[str, float], machine: Mapping[str, Any]) -> dict[str, str]:
    """The pictures by file name: of medians by row, and of the machine where they were measured."""
    found = {"packets.svg": _packets(medians), "changes.svg": _changes(medians)}
    return {name: svg(chart, _caption(machine)) for name, chart in found.items() if chart}


def _packets(medians: Mapping[str, float]) -> Chart | None:
    lines = {
        name: _points(medians, lambda words, k=kind: words[:2] == ["packets", k], 2)  # type: ignore[misc]
        for kind, name in PACKETS.items()
    }
    title = "What a packet costs, as a multiple of connection tracking alone"
    return _chart(title, "policies that select the pod", "", lines, aim=1.10)


def _changes(medians: Mapping[str, float]) -> Chart | None:
    lines = {
        what: _points(medians, lambda words, n=name: words[1:] == [n] and words[0].isdigit(), 0)  # type: ignore[misc]
        for name, what in EVENTS.items()
    }
    title = "From an event to the ruleset in force, milliseconds, medians"
    return _chart(title, "pods in the cluster", "ms", lines)


def _points(medians: Mapping[str, float], ours: Callable[[list[str]], bool], place: int) -> Points:
    """Of the rows that are ours: the number at a place of the name, and the median."""
    split = [(name.split("/"), value) for name, value in medians.items()]
    return tuple(sorted((float(words[place]), value) for words, value in split if ours(words)))


def _chart(title: str, x: str, y: str, lines: Mapping[str, Points], aim: float | None = None) -> Chart | None:
    """None where no line has two points."""
    drawn = {name: points for name, points in lines.items() if len(points) > 1}
    if not drawn:
        return None
    numbers = tuple(sorted({number for points in drawn.values() for number, _ in points}))
    values = [value for points in drawn.values() for _, value in points] + ([] if aim is None else [aim])
    log = aim is None
    return Chart(title, Axis(x, numbers, log=True), Axis(y, _ticks(values, log=log), log=log), drawn, aim)


def _ticks(values: Sequence[float], *, log: bool) -> tuple[float, ...]:
    """Powers of ten around the values, and between few of them 2 and 5; or multiples of 0.05."""
    if log:
        first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
        powers = [10.0**power for power in range(first, max(last, first + 1) + 1)]
        between = (2.0, 5.0) if len(powers) < 4 else ()
        return tuple(sorted([*powers, *(power * part for power in powers[:-1] for part in between)]))
    first, last = math.floor(min(0.95, *values) * 20), math.ceil(max(1.15, *values) * 20)
    step = 1 + (last - first) // 10
    return tuple(number / 20 for number in range(first, last + step, step))


def _caption(machine: Mapping[str, Any]) -> str:
    return (
        f"{machine['processor']}, {machine['kernel']}, {machine['nft'].partition(' (')[0]}, "
        f"load {machine['load']:g} at the start"
    )


# --- drawn ---------------------------------------------------------------------------------------------


def svg(chart: Chart, caption: str) -> str:
    """Draw it."""
    title = escape(chart.title)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img"'
    )
    return "\n".join(
        [
            f'{head} aria-label="{title}">',
            f"<title>{title}</title>",
            _style(),
            f'<text class="title" x="{LEFT}" y="24">{title}</text>',
            *_grid(chart),
            *_aim(chart),
            *(part for number, name in enumerate(chart.lines) for part in _line(chart, number, name)),
            f'<text class="small" x="{LEFT}" y="{HEIGHT - 8}">{escape(caption)}</text>',
            "</svg>\n",
        ]
    )


def _style() -> str:
    def colours(dark: int) -> str:
        return " ".join(
            f".l{number} {{ stroke: {pair[dark]} }} .d{number} {{ fill: {pair[dark]} }}"
            for number, pair in enumerate(COLOURS)
        )

    text = "text { font: 13px system-ui, sans-serif; fill: %s } .grid { stroke: %s }"
    return "\n".join(
        [
            "<style>",
            text % ("#1f2328", "#d0d7de"),
            ".title { font-weight: 600; font-size: 15px } .small { font-size: 11px }",
            ".end { text-anchor: end } .middle { text-anchor: middle } .line { fill: none; stroke-width: 2 }",
            ".aim { stroke: #bf8700; stroke-dasharray: 3 3 }",
            colours(0),
            f"@media (prefers-color-scheme: dark) {{ {text % ('#f0f6fc', '#3d444d')} {colours(1)} }}",
            "</style>",
        ]
    )


def _grid(chart: Chart) -> list[str]:
    found = []
    for tick in chart.y.ticks:
        y = _y(chart, tick)
        found.append(f'<line class="grid" x1="{LEFT}" y1="{y}" x2="{RIGHT}" y2="{y}"/>')
        found.append(f'<text class="end" x="{LEFT - 8}" y="{float(y) + 4:.1f}">{_number(tick)}</text>')
    for tick in chart.x.ticks:
        x = _x(chart, tick)
        found.append(f'<line class="grid" x1="{x}" y1="{TOP}" x2="{x}" y2="{BOTTOM}"/>')
        found.append(f'<text class="middle" x="{x}" y="{BOTTOM + 18}">{_number(tick)}</text>')
    middle = (LEFT + RIGHT) // 2
    return [*found, f'<text class="middle" x="{middle}" y="{BOTTOM + 38}">{escape(chart.x.label)}</text>']


def _aim(chart: Chart) -> list[str]:
    if chart.aim is None:
        return []
    y = _y(chart, chart.aim)
    return [
        f'<line class="aim" x1="{LEFT}" y1="{y}" x2="{RIGHT}" y2="{y}"/>',
        f'<text x="{RIGHT + 8}" y="{float(y) + 4:.1f}">aim: {_number(chart.aim)}</text>',
    ]


def _line(chart: Chart, number: int, name: str) -> list[str]:
    """A line, its points, and its place in the legend, which stands below the level of the aim."""
    points = [(_x(chart, x), _y(chart, y)) for x, y in chart.lines[name]]
    colour, row = number % len(COLOURS), BOTTOM - 20 * (len(chart.lines) - 1 - number)
    ends = f'x1="{RIGHT + 12}" y1="{row - 4}" x2="{RIGHT + 38}" y2="{row - 4}"'
    path = " ".join(f"{x},{y}" for x, y in points)
    dash = f' stroke-dasharray="{DASHES[colour]}"' if DASHES[colour] else ""
    return [
        f'<polyline class="line l{colour}"{dash} points="{path}"/>',
        *(f'<circle class="d{colour}" cx="{x}" cy="{y}" r="3"/>' for x, y in points),
        f'<line class="line l{colour}"{dash} {ends}/>',
        f'<text x="{RIGHT + 44}" y="{row}">{escape(name)}</text>',
    ]


def _x(chart: Chart, value: float) -> str:
    return f"{LEFT + chart.x.share(value) * (RIGHT - LEFT):.1f}"


def _y(chart: Chart, value: float) -> str:
    return f"{BOTTOM - chart.y.share(value) * (BOTTOM - TOP):.1f}"


def _number(value: float) -> str:
    """With thin spaces between thousands."""
    return f"{value:,.0f}".replace(",", "\u2009") if value >= 1000 else f"{value:g}"


def main(arguments: Sequence[str]) -> None:
    """Draw what a file has figures for, into a folder."""
    source = Path(arguments[0]) if arguments else OUTPUT
    folder = Path(arguments[1]) if len(arguments) > 1 else FOLDER
    for name, text in charts(*stored(source.read_text())).items():
        (folder / name).write_text(text)
        print(folder / name)


if __name__ == "__main__":
    main(sys.argv[1:])
