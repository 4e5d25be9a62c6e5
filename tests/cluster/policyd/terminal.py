"""A session in a terminal, drawn as SVG: what was typed and what was printed, and nothing that was not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

# A background of its own, so that the page around it may be light or dark.
STYLE = """
rect { fill: #161b22; stroke: #6e7681 }
text { font: 14px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; white-space: pre }
.prompt { fill: #7ee787 }
.typed { fill: #f0f6fc }
.printed { fill: #9ea7b3 }
.good { fill: #7ee787 }
.bad { fill: #ff7b72 }
"""
COLUMN, LINE, MARGIN = 8.6, 20, 18  # pixels; a column is as wide as in the widest of these fonts


@dataclass(frozen=True, slots=True)
class Command:
    """What was typed, what it printed, and its exit status."""

    typed: str
    printed: str
    status: int


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a line, and the class of its colour."""

    kind: str
    text: str


def draw(title: str, commands: Sequence[Command], good: Iterable[str] = ()) -> str:
    """Draw a session; printed lines that are in `good` are green, those of a command that failed red."""
    shown = [line for command in commands for line in _lines(command, frozenset(good))]
    width = 2 * MARGIN + COLUMN * max(sum(len(span.text) for span in line) for line in shown)
    height = 2 * MARGIN + LINE * len(shown)
    size = f'viewBox="0 0 {width:.0f} {height}" width="{width:.0f}"'
    rows = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label={quoteattr(title)}>',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>",
        f'<rect x="0.5" y="0.5" width="{width - 1:.0f}" height="{height - 1}" rx="8"/>',
    ]
    for number, line in enumerate(shown):
        spans = "".join(f'<tspan class="{span.kind}">{escape(span.text)}</tspan>' for span in line)
        rows.append(
            f'<text x="{MARGIN}" y="{MARGIN + 15 + LINE * number}" xml:space="preserve">{spans}</text>'
        )
    return "\n".join([*rows, "</svg>", ""])


def _lines(command: Command, good: frozenset[str]) -> Iterator[tuple[Span, ...]]:
    first, *more = command.typed.splitlines()
    yield Span("prompt", "$ "), Span("typed", first)
    for line in more:
        yield (Span("typed", line),)
    for line in command.printed.splitlines():
        kind = "bad" if command.status else "good" if line in good else "printed"
        yield (Span(kind, line),)
