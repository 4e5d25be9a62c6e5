"""Reachability as text: what real connections did, and what of it was not expected. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from policyd.demo.scene import WORDS, Reach

Style: TypeAlias = Literal["bold", "dim", "green", "red", "yellow"]
Paint: TypeAlias = Callable[[str, Style], str]

_CODES: dict[Style, str] = {"bold": "1", "dim": "2", "green": "32", "red": "1;31", "yellow": "1;33"}
_WORD_OF = {families: word for word, families in WORDS.items()}
_INDENT = "  "
_COLUMN = 8  # seven characters, and a mark
#: What stands in the corner, next to the heads of the columns.
_AXES = ("rows ask,", "columns answer")


@dataclass(frozen=True, slots=True)
class Difference:
    """A pair and a family that are not as expected."""

    source: str
    target: str
    family: int
    answered: bool

    def __str__(self) -> str:
        what = "answered, but should not be" if self.answered else "not answered, but should be"
        return f"{self.source} to {self.target} over IPv{self.family}: {what}"


def colored(text: str, style: Style) -> str:
    """Text for a terminal that shows colours."""
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m"


def plain(text: str, _: Style) -> str:
    """Text for everything else."""
    return text


def differences(expected: Reach, measured: Reach) -> tuple[Difference, ...]:
    """All that is not as expected."""
    return tuple(
        Difference(source, target, family, family in measured[source, target])
        for (source, target), families in expected.items()
        for family in sorted(families ^ measured[source, target])
    )


def render(
    sources: Sequence[str],
    targets: Sequence[str],
    expected: Reach,
    measured: Reach,
    paint: Paint,
    before: Reach | None = None,
) -> str:
    """A grid of what was measured. `!` marks what is not as expected, `*` what was otherwise `before`."""
    heads = _heads(targets)
    axes = [*_AXES, *[""] * len(heads)][: len(heads)]
    left = max(map(len, (*sources, *axes)))
    lines = []
    for axis, row in zip(axes, heads, strict=True):
        cells = "".join(f"{cell:>{_COLUMN - 1}} " for cell in row)
        lines.append(f"{_INDENT}{paint(f'{axis:{left}}', 'dim')}{cells}".rstrip())
    for source in sources:
        pairs = [(source, target) for target in targets]
        cells = "".join(
            _cell(measured.get(pair), _mark(pair, expected, measured, before), paint) for pair in pairs
        )
        lines.append(f"{_INDENT}{source:{left}}{cells}".rstrip())
    return "\n".join(lines)


def _heads(targets: Sequence[str]) -> list[list[str]]:
    """`db:7946/udp` stands above its column in three lines."""
    parts = [target.replace("/", ":").split(":") for target in targets]
    depth = max(map(len, parts))
    return [[part[level] if level < len(part) else "" for part in parts] for level in range(depth)]


def _mark(pair: tuple[str, str], expected: Reach, measured: Reach, before: Reach | None) -> str:
    if measured.get(pair) != expected.get(pair):
        return "!"
    if before is not None and before.get(pair) != measured.get(pair):
        return "*"
    return " "


def _cell(families: frozenset[int] | None, mark: str, paint: Paint) -> str:
    if families is None:
        return " " * _COLUMN
    word = f"{_WORD_OF[families]:>{_COLUMN - 1}}"
    if mark != " ":
        return paint(word + mark, "red" if mark == "!" else "yellow")
    return paint(word, "green" if families else "dim") + mark
