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
from policyd.render.compared import only_changed
from policyd.render.matrix import Line, Matrix, column_names

MOST_WITH_TEXT = 32
TITLE = "Who may open a connection to whom"
DIFFERENCE = "What the change opens and closes"
EXPOSURE = "What is open to whoever comes"
#: About how wide a character is, at 12 pixels.
_CHARACTER = 6.9
#: Between namespaces, and before addresses outside.
_GAP = 6
#: Characters of a cell; all of it is in what shows when it is pointed at.
_MOST_IN_CELL = 14
_MOST_NOTES = 8
_FILLED = (
    "all", "some", "unknown", "none", "itself", "mark", "opened", "closed", "both", "kept", "faint",
)  # fmt: skip
#: What cells there are → what may stand in one, and what it means.
LEGEND = {
    "all": ("all", "all ports"),
    "some": ("80", "the ports that are named"),
    "unknown": ("?", "not decided by these objects"),
    "opened": ("+", "opens"),
    "closed": ("−", "closes"),
    "both": ("±", "opens and closes"),
    "kept": ("80", "allowed as before"),
    "none": ("", "nothing"),
}
_SIGNS = {kind: LEGEND[kind][0] for kind in ("opened", "closed", "both")}
_SMALL_CELL = 14.0
#: How far the mark of a small cell is from its edge, and which colour it has, if not that of a large one.
_INSET = {"some": 4, "unknown": 2, "kept": 4}
_STRONG = {"some": "mark", "kept": "faint"}
#: Marks that are no squares, and where they begin: a cross, and a bar.
_SHAPES = {
    "opened": ((5, 1), "h4v4h4v4h-4v4h-4v-4h-4v-4h4z"),
    "closed": ((1, 5), "h12v4h-12z"),
}


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


def svg(matrix: Matrix, said: str = "", notes: Sequence[str] = (), *, title: str = "") -> str:
    """The picture. `said` stands below its title, `notes` at its end."""
    title = title or (TITLE if matrix.now is None else DIFFERENCE)
    if matrix.now is not None and len(matrix.receivers) > MOST_WITH_TEXT:
        matrix = only_changed(matrix)
    places = _places(matrix)
    foot = [
        *notes[:_MOST_NOTES],
        *([f"and {len(notes) - _MOST_NOTES} more"] if len(notes) > _MOST_NOTES else ()),
    ]
    width = max(places.right, _CHARACTER * 0.95 * max(map(len, (said, *foot))) + 24, 640)
    height = places.bottom + 78 + 20 * len(foot)
    label = escape(printable(f"{title}. {said}. {_told(matrix)}"))
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}"'
        f' width="{width:.0f}" height="{height:.0f}" role="img" aria-label="{label}">'
    )
    out = [
        head,
        f"<style>\n{_style()}</style>",
        '<rect class="paper" width="100%" height="100%"/>',
        f'<text class="title" x="12" y="26">{title}</text>',
        _line(said, 45),
        *_names(matrix, places),
        *(_small_cells(matrix, places) if places.small else _cells(matrix, places)),
        *_legend(matrix, places),
        *(_line(note, places.bottom + 82 + 20 * at) for at, note in enumerate(foot)),
        "</svg>",
    ]
    return "\n".join(out) + "\n"


def _line(text: str, y: float) -> str:
    return f'<text class="quiet" x="12" y="{y:.0f}">{escape(printable(text))}</text>'


def _told(matrix: Matrix) -> str:
    return matrix.told[0].upper() + matrix.told[1:]


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
    rules += [f".{name} {{ fill: {color} }}" for name, color in colors.items() if name.startswith("on-")]
    rules += [f"text.{name} {{ fill: {colors[name]} }}" for name in ("quiet", "wide")]
    return [
        f"text {{ fill: {colors['text']} }}",
        *rules,
        f".unknown {{ stroke: {colors['on-unknown']} }}",
    ]


def _places(matrix: Matrix) -> _Places:
    small = len(matrix.receivers) > MOST_WITH_TEXT
    longest = max((len(_short(cell)) for cell in matrix.cells.values()), default=0)
    width, height = (_SMALL_CELL, _SMALL_CELL) if small else (min(max(46, longest * 6.6 + 12), 110), 28.0)
    angle = 60 if small else 38
    lengths = [_CHARACTER * (1.15 if name[0] == "◉" else 1) * len(name) for name in _column_names(matrix)]
    left = round(24 + _CHARACTER * max((len(each.name) for each in matrix.senders), default=0))
    top = round(68 + sin(radians(angle)) * max(lengths, default=0))
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


def _cells(matrix: Matrix, places: _Places) -> Iterator[str]:
    """A box for each pair, with its ports."""
    for sender, receiver, x, y, cell in _pairs(matrix, places):
        kind = matrix.kind(sender, receiver)
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
    for sender, receiver, x, y, _ in _pairs(matrix, places):
        kind = matrix.kind(sender, receiver)
        if kind != "none":
            found.setdefault(kind, []).append((x, y))
    yield _background(places)
    yield from (_marks(kind, corners) for kind, corners in found.items())


def _background(places: _Places) -> str:
    """What is behind the marks: bars of the rows, and over them the lines between columns."""
    left, right = places.x[0], places.x[-1] + places.width
    bars = "".join(f"M{left:g} {y:g}H{right:g}v{places.height:g}H{left:g}z" for y in places.y)
    ends = [x + places.width for x in places.x]
    gaps = "".join(
        f"M{end:g} {places.y[0]:g}H{x:g}V{places.y[-1] + places.height:g}H{end:g}z"
        for end, x in zip(ends[:-1], places.x[1:], strict=True)
    )
    return f'<path class="none" d="{bars}"/><path class="paper" d="{gaps}"/>'


def _marks(kind: str, corners: Iterable[tuple[float, float]]) -> str:
    """The marks of small cells of a kind; their shapes say the same as their colours."""
    inset = _INSET.get(kind, 0)
    side = _SMALL_CELL - 2 * inset
    by, shape = _SHAPES.get(kind, ((inset, inset), f"h{side:g}v{side:g}h-{side:g}z"))
    path = "".join(f"M{x + by[0]:g} {y + by[1]:g}{shape}" for x, y in corners)
    return f'<path class="{_STRONG.get(kind, kind)}" d="{path}"/>'


def _legend(matrix: Matrix, places: _Places) -> Iterator[str]:
    present = {matrix.kind(sender, receiver) for sender in matrix.senders for receiver in matrix.receivers}
    x, y = 12.0, places.bottom + 22
    for kind, (_, told) in LEGEND.items():
        if kind not in present:
            continue
        if places.small:
            yield _marks("none", [(x, y)]) + _marks(kind, [(x, y)])
        else:
            yield _box(kind, x, y, 22, 14)
            if kind in _SIGNS:
                yield f'<text class="in on-{kind}" x="{x + 11:.1f}" y="{y + 11:.1f}">{_SIGNS[kind]}</text>'
        yield f'<text class="quiet" x="{x + 28:.1f}" y="{y + 12:.1f}">{told}</text>'
        x += 28 + _CHARACTER * len(told) + 22
    mark, style = ("◉ ", "wide") if matrix.wide_open else ("", "quiet")
    told = escape(printable(_told(matrix)))
    yield f'<text class="{style}" x="12" y="{y + 38:.1f}">{mark}{told}</text>'
