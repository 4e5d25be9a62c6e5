"""A matrix as a picture: for a README, in a light and a dark page. Pure.

It is one file without scripts, fonts or links. Up to `MOST_WITH_TEXT` columns have their ports in the cells;
more are drawn small, as few paths, so that hundreds of workloads are still a file of some kilobytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import cos, radians, sin

from policyd.ask.answers import OUTSIDE
from policyd.kube.syntax import printable
from policyd.render.cells import Cell
from policyd.render.colors import DARK, LIGHT
from policyd.render.matrix import Line, Matrix, column_names, is_itself

MOST_WITH_TEXT = 32
TITLE = "Who may open a connection to whom"
#: About how wide a character is, at 12 pixels.
_CHARACTER = 6.9
#: Between namespaces, and before addresses outside.
_GAP = 6
#: Characters of a cell; all of it is in what shows when it is pointed at.
_MOST_IN_CELL = 14
_FILLED = ("all", "some", "unknown", "none", "itself", "mark")
#: What cells are there → what may stand in one, and what it means.
LEGEND = {
    "all": ("all", "all ports"),
    "some": ("80", "the ports that are named"),
    "unknown": ("?", "not decided by these objects"),
    "none": ("", "nothing"),
}
#: In a small cell: how far a mark is from its edge.
_INSET = {"some": 4, "unknown": 2}
#: What is small has a strong colour.
_SMALL = {"some": "mark"}


@dataclass(frozen=True, slots=True)
class _Places:
    """Where everything is: the corners of columns and rows, and the angle of the names of columns."""

    x: tuple[float, ...]
    y: tuple[float, ...]
    width: float
    height: float
    angle: int
    left: float
    top: float
    right: float
    bottom: float

    @property
    def small(self) -> bool:
        """Whether cells have no text."""
        return self.width < 20


def svg(matrix: Matrix, said: str = "") -> str:
    """The picture. `said` stands below its title."""
    places = _places(matrix)
    size = max(places.right, _CHARACTER * 0.95 * len(said) + 24, 640)
    label = escape(printable(f"{TITLE}. {said}. {_told(matrix)}"))
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size:.0f} {places.bottom + 78:.0f}"'
        f' width="{size:.0f}" height="{places.bottom + 78:.0f}" role="img" aria-label="{label}">'
    )
    out = [
        head,
        f"<style>\n{_style()}</style>",
        '<rect class="paper" width="100%" height="100%"/>',
        f'<text class="title" x="12" y="26">{TITLE}</text>',
        f'<text class="quiet" x="12" y="45">{escape(printable(said))}</text>',
        *_names(matrix, places),
        *(_small_cells(matrix, places) if places.small else _cells(matrix, places)),
        *_legend(matrix, places),
        "</svg>",
    ]
    return "\n".join(out) + "\n"


def _told(matrix: Matrix) -> str:
    """Which columns are wide open, in words."""
    names = [each.name for each in matrix.receivers if each.id in matrix.wide_open]
    if not names:
        return "Nothing here lets all others in"
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"Lets all others in: {', '.join(names[:3])}{more}"


def _style() -> str:
    rules = [
        'text { font: 12px system-ui, "DejaVu Sans", sans-serif }',
        ".title { font-size: 16px; font-weight: 600 }",
        ".wide { font-weight: 700 }",
        ".in { font-size: 11px; text-anchor: middle }",
        ".unknown { stroke-dasharray: 3 2; stroke-width: 1 }",
    ]
    dark = "\n".join(f"  {rule}" for rule in _colored(DARK))
    return "\n".join([*rules, *_colored(LIGHT), "@media (prefers-color-scheme: dark) {", dark, "}", ""])


def _colored(colors: Mapping[str, str]) -> list[str]:
    rules = [f".{name} {{ fill: {colors[name]} }}" for name in ("paper", *_FILLED)]
    rules += [f".on-{name} {{ fill: {colors[f'on-{name}']} }}" for name in ("all", "some", "unknown")]
    rules += [f"text.{name} {{ fill: {colors[name]} }}" for name in ("quiet", "wide")]
    return [
        f"text {{ fill: {colors['text']} }}",
        *rules,
        f".unknown {{ stroke: {colors['on-unknown']} }}",
    ]


def _places(matrix: Matrix) -> _Places:
    small = len(matrix.receivers) > MOST_WITH_TEXT
    longest = max((len(_short(cell)) for cell in matrix.cells.values()), default=0)
    width, height = (14.0, 14.0) if small else (min(max(46, longest * 6.6 + 12), 110), 28.0)
    angle = 60 if small else 38
    lengths = [_CHARACTER * (1.15 if name[0] == "◉" else 1) * len(name) for name in _column_names(matrix)]
    left = 24 + _CHARACTER * max((len(each.name) for each in matrix.senders), default=0)
    top = 68 + sin(radians(angle)) * max(lengths, default=0)
    x = tuple(_offsets(matrix.receivers, left, width + 2))
    y = tuple(_offsets(matrix.senders, top, height + 2))
    ends = (at + width / 2 + cos(radians(angle)) * length for at, length in zip(x, lengths, strict=True))
    right = 12 + max((*ends, x[-1] + width if x else left))
    return _Places(x, y, width, height, angle, left, top, right, y[-1] + height if y else top)


def _offsets(lines: Sequence[Line], start: float, step: float) -> Iterator[float]:
    at = start
    for before, line in zip((None, *lines), lines, strict=False):
        if before is not None and (before.namespace != line.namespace or line.id == OUTSIDE):
            at += _GAP
        yield at
        at += step


def _column_names(matrix: Matrix) -> list[str]:
    """The names over columns; what is open to all has a mark."""
    return [f"◉ {name}" if id_ in matrix.wide_open else name for id_, name in column_names(matrix).items()]


def _names(matrix: Matrix, places: _Places) -> Iterator[str]:
    for name, line, x in zip(_column_names(matrix), matrix.receivers, places.x, strict=True):
        wide = line.id in matrix.wide_open
        at = x + places.width / 2 + (0 if places.small else 2)
        yield (
            f"<text{' class=' + _q('wide') if wide else ''}"
            f' transform="translate({at:.1f} {places.top - 8:.1f}) rotate(-{places.angle})">'
            f"{escape(printable(name))}</text>"
        )
        if wide:
            yield _box("all", x, places.top - 5, places.width, 3)
    for line, y in zip(matrix.senders, places.y, strict=True):
        at = y + places.height / 2 + 4
        yield (
            f'<text x="{places.left - 10:.1f}" y="{at:.1f}" text-anchor="end">'
            f"{escape(printable(line.name))}</text>"
        )


def _q(text: str) -> str:
    return f'"{text}"'


def _pairs(matrix: Matrix, places: _Places) -> Iterator[tuple[Line, Line, float, float, Cell | None]]:
    for sender, y in zip(matrix.senders, places.y, strict=True):
        for receiver, x in zip(matrix.receivers, places.x, strict=True):
            yield sender, receiver, x, y, matrix.cells.get((sender.id, receiver.id))


def _kind(sender: Line, receiver: Line, cell: Cell | None) -> str:
    if cell is not None:
        return cell.strength
    return "itself" if is_itself(sender, receiver) else "none"


def _cells(matrix: Matrix, places: _Places) -> Iterator[str]:
    """A box for each pair, with its ports."""
    for sender, receiver, x, y, cell in _pairs(matrix, places):
        kind = _kind(sender, receiver, cell)
        box = _box(kind, x, y, places.width, places.height)
        if cell is None:
            yield box
            continue
        tip = escape(printable(f"{sender.name} → {receiver.name}: {cell.text}"))
        text = escape(printable(_short(cell)))
        middle = f'x="{x + places.width / 2:.1f}" y="{y + places.height / 2 + 4:.1f}"'
        yield f'<g><title>{tip}</title>{box}<text class="in on-{kind}" {middle}>{text}</text></g>'


def _box(kind: str, x: float, y: float, width: float, height: float) -> str:
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="2"/>'


def _short(cell: Cell) -> str:
    return cell.text if len(cell.text) <= _MOST_IN_CELL else f"{cell.text[: _MOST_IN_CELL - 1]}…"


def _small_cells(matrix: Matrix, places: _Places) -> Iterator[str]:
    """One path for all pairs of a kind; the size of a mark says the same as its colour."""
    found: dict[str, list[tuple[float, float]]] = {}
    for sender, receiver, x, y, cell in _pairs(matrix, places):
        kind = _kind(sender, receiver, cell)
        if kind != "none":
            found.setdefault(kind, []).append((x, y))
    yield _background(places)
    for kind in ("itself", "some", "unknown", "all"):
        if kind in found:
            yield _path(_SMALL.get(kind, kind), found[kind], _INSET.get(kind, 0), places.width)


def _background(places: _Places) -> str:
    """What is behind the marks: bars of the rows, and over them the lines between columns."""
    left, right = places.x[0], places.x[-1] + places.width
    bars = "".join(f"M{left:.4g} {y:.4g}H{right:.4g}v{places.height:g}H{left:.4g}z" for y in places.y)
    ends = [x + places.width for x in places.x]
    gaps = "".join(
        f"M{end:.4g} {places.y[0]:.4g}H{x:.4g}V{places.y[-1] + places.height:.4g}H{end:.4g}z"
        for end, x in zip(ends[:-1], places.x[1:], strict=True)
    )
    return f'<path class="none" d="{bars}"/><path class="paper" d="{gaps}"/>'


def _path(kind: str, corners: Iterable[tuple[float, float]], inset: float, size: float) -> str:
    side = size - 2 * inset
    squares = "".join(f"M{x + inset:.4g} {y + inset:.4g}h{side:g}v{side:g}h-{side:g}z" for x, y in corners)
    return f'<path class="{kind}" d="{squares}"/>'


def _legend(matrix: Matrix, places: _Places) -> Iterator[str]:
    present = {cell.strength for cell in matrix.cells.values()}
    x, y = 12.0, places.bottom + 22
    for kind, (_, told) in LEGEND.items():
        if kind != "none" and kind not in present:
            continue
        if places.small:
            yield _path("none", [(x, y)], 0, 14)
            yield _path(_SMALL.get(kind, kind), [(x, y)], _INSET.get(kind, 0), 14)
        else:
            yield _box(kind, x, y, 22, 14)
        yield f'<text class="quiet" x="{x + 28:.1f}" y="{y + 12:.1f}">{told}</text>'
        x += 28 + _CHARACTER * len(told) + 22
    mark, style = ("◉ ", "wide") if matrix.wide_open else ("", "quiet")
    told = escape(printable(_told(matrix)))
    yield f'<text class="{style}" x="12" y="{y + 38:.1f}">{mark}{told}</text>'
