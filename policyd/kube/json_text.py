"""JSON text → values. Where a value stands is looked up afterwards: only few are ever asked for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from policyd.kube.places import Flaw, Place
from policyd.kube.reading import Path
from policyd.kube.syntax import quote

#: In longer texts objects have line 0: to find the lines would take longer than to decode the objects.
MAX_WITH_LINES = 1024 * 1024

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


class NotJson(Exception):
    """The text is not JSON; it may still be YAML. `flaw` says what is wrong if it was meant to be JSON."""

    def __init__(self, flaw: Flaw) -> None:
        super().__init__(flaw.text)
        self.flaw = flaw


@dataclass(slots=True)
class JsonDocument:
    """A JSON text with its value. `_lines` are found when first asked for, in short texts."""

    start: Place
    text: str
    value: object
    flaws: list[Flaw]
    _lines: dict[Path, int] | None = None

    def locate(self, wanted: frozenset[Path]) -> dict[Path, tuple[Place, Place]]:
        """The places of the keys and values at some paths; a path that is not there is missing."""
        return {
            path: (_place(self.text, key), _place(self.text, value))
            for path, key, value in _walk(self.text)
            if path in wanted
        }

    def line(self, path: Path) -> int:
        """The line of a mapping; 0 in a text that is too long to be searched for it."""
        if len(self.text) > MAX_WITH_LINES:
            return 0
        if self._lines is None:
            self._lines = {}
            line, last = 1, 0
            for here, _, at in _walk(self.text):
                line, last = line + self.text.count("\n", last, at), at
                self._lines[here] = line
        return self._lines.get(path, 0)


def read_json(text: str) -> tuple[object, list[Flaw]]:
    """Read one JSON value; NotJson if it is none, flaws if it is one that nobody should rely on."""
    unsound: set[str] = set()

    def check(pairs: list[tuple[str, object]]) -> dict[str, object]:
        mapping = dict(pairs)
        if len(mapping) != len(pairs):
            unsound.add("duplicates")
        return mapping

    def refuse(constant: str) -> object:
        unsound.add(constant)
        return None

    try:
        value = json.loads(text, object_pairs_hook=check, parse_constant=refuse)
    except json.JSONDecodeError as error:
        raise NotJson(Flaw(Place(error.lineno, error.colno), f"not valid JSON: {error.msg}")) from error
    except RecursionError as error:
        raise NotJson(Flaw(Place(0, 0), "nested too deeply")) from error
    except ValueError as error:  # an integer of thousands of digits
        raise NotJson(Flaw(Place(0, 0), "a number has too many digits")) from error
    flaws = [
        Flaw(Place(0, 0), f"{constant} is not a number that a manifest can hold")
        for constant in sorted(unsound - {"duplicates"})
    ]
    if "duplicates" in unsound:
        flaws.extend(_duplicates(text))
    return value, flaws


def _duplicates(text: str) -> Iterator[Flaw]:
    first: dict[Path, int] = {}
    for path, key, _ in _walk(text):
        if path in first and isinstance(path[-1], str):
            line = _place(text, first[path]).line
            yield Flaw(_place(text, key), f"duplicate key {quote(path[-1])}; see line {line}")
        first.setdefault(path, key)


def _walk(text: str) -> Iterator[tuple[Path, int, int]]:
    """Every value of a valid JSON text: its path, the offset of its key (or of itself), its own offset."""
    path: list[str | int] = []
    kinds: list[str] = []
    key_at: int | None = None
    expect_key = False
    for match in _TOKEN.finditer(text):
        sign, at = match.group(), match.start()
        if sign in "}]":
            kinds.pop()
            path.pop()
            expect_key = False
        elif sign == ",":
            expect_key = kinds[-1] == "{"
            if not expect_key:
                step = path[-1]
                path[-1] = step + 1 if isinstance(step, int) else 0
        elif sign == ":":
            expect_key = False
        elif expect_key:
            path[-1] = json.loads(sign)
            key_at = at
        else:
            yield tuple(path), at if key_at is None else key_at, at
            key_at = None
            if sign in "{[":
                kinds.append(sign)
                path.append(0 if sign == "[" else "")
                expect_key = sign == "{"


def _place(text: str, offset: int) -> Place:
    return Place(text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset))
