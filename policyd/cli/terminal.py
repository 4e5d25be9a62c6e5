"""What goes to stdout, which is data alone, and to stderr, which is for people."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Literal, TextIO, TypeAlias

from policyd.errors import Diagnostic, EnvironmentRefused

Color: TypeAlias = Literal["auto", "always", "never"]

_COLORS = {"error": "\x1b[1;31m", "warning": "\x1b[1;33m"}
_PLAIN = "\x1b[0m"


def write(text: str) -> None:
    """Write text to standard output, all of it, as UTF-8 whatever the locale."""
    write_bytes(text.encode(errors="surrogateescape"))


def write_bytes(data: bytes) -> None:
    """Write data to standard output, all of it."""
    if sys.stdout is None:
        raise EnvironmentRefused("standard output is closed")
    rest = memoryview(data)
    while rest:  # with PYTHONUNBUFFERED there is no buffer, and less may be taken than is given
        rest = rest[sys.stdout.buffer.write(rest) :]
    sys.stdout.buffer.flush()


def print_info(text: str) -> None:
    """Print a line for a person."""
    _print(f"policyd: {text}")


def uses_color(choice: Color, stream: TextIO | None) -> bool:
    """Whether to colour what goes to a stream: `--color`, else as NO_COLOR and the terminal have it."""
    if choice != "auto":
        return choice == "always"
    if stream is None or not stream.isatty():
        return False
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def print_diagnostics(diagnostics: Sequence[Diagnostic], *, colored: bool) -> None:
    """Print all diagnostics, and how many there are."""
    for diagnostic in diagnostics:
        _print(_paint(diagnostic) if colored else str(diagnostic))
    counts = {
        word: sum(diagnostic.severity == word for diagnostic in diagnostics) for word in ("error", "warning")
    }
    parts = [f"{count} {word}{'' if count == 1 else 's'}" for word, count in counts.items() if count]
    if parts:
        print_info(" and ".join(parts))


def _print(line: str) -> None:
    if sys.stderr is not None:  # else `print` would take standard output, which is for data
        print(line, file=sys.stderr)


def _paint(diagnostic: Diagnostic) -> str:
    before, word, after = str(diagnostic).partition(f" {diagnostic.severity}: ")
    return f"{before} {_COLORS[diagnostic.severity]}{word.strip()}{_PLAIN} {after}"
