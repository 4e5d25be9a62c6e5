"""The reachability matrix as text: who reached what, next to who should. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

GREEN, RED, YELLOW, DIM, BOLD, PLAIN = "32", "31", "33", "2", "1", "0"


@dataclass(frozen=True, slots=True)
class Cell:
    """One pair: what the policies mean, and what real connections did; `families` that were measured."""

    expected: bool
    measured: bool


@dataclass(frozen=True, slots=True)
class Paint:
    """Colours, or none: for a pipe, a dumb terminal or NO_COLOR."""

    colour: bool

    def __call__(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour else text


def render(
    title: str, sources: list[str], targets: list[str], cells: Mapping[tuple[str, str], Cell], paint: Paint
) -> str:
    """Two grids side by side, expected and measured; a difference is marked `!`."""
    left = max(len(source) for source in sources) + 2
    width = max(len(target) for target in targets) + 2
    gap = "   "
    half = width * len(targets)
    head = "".join(target.rjust(width) for target in targets)
    lines = [
        paint(title, BOLD),
        f"{'':{left}}{'expected':^{half}}{gap}{'measured':^{half}}",
        f"{'from':{left}}{head}{gap}{head}",
    ]
    for source in sources:
        row = [cells.get((source, target)) for target in targets]
        expected = "".join(_mark(cell.expected if cell else None, width, paint, wrong=False) for cell in row)
        measured = "".join(
            _mark(
                cell.measured if cell else None,
                width,
                paint,
                wrong=bool(cell and cell.measured != cell.expected),
            )
            for cell in row
        )
        lines.append(f"{source:{left}}{expected}{gap}{measured}")
    return "\n".join(lines)


def _mark(reached: bool | None, width: int, paint: Paint, *, wrong: bool) -> str:  # noqa: FBT001 a tri-state
    if reached is None:
        return paint("·".rjust(width), DIM)
    text = ("yes" if reached else "no") + ("!" if wrong else "")
    return paint(text.rjust(width), YELLOW if wrong else GREEN if reached else RED)
