"""JSON text → values, and where they stand.

A `List`, which may hold a whole cluster, is read item by item: raw values take ten times the memory of what
is made of them. Where a value stands is looked up afterwards, as only few are ever asked for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from policyd.kube.reading import Path
from policyd.kube.syntax import quote
from policyd.manifests.places import Flaw, Place

#: In longer texts the parts of an object count as standing where the object begins: to look for their lines
#: would take longer than to decode the objects.
MAX_WITH_LINES = 1024 * 1024

_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\],:]|[^\s{}\[\],:"]+')
_SPACE = re.compile(r"[ \t\n\r]*")
#: What stands between the texts of a stream: nothing but space, the line that separates YAML documents, or
#: the byte order mark of the next of several files that were joined.
_BETWEEN = re.compile(r"(?:[ \t\n\r\ufeff]+|---(?=[ \t\n\r]|$))*")
#: The head of a List as kubectl and the API server write it, up to the first item.
_HEAD = re.compile(
    r'\s*\{(?:\s*"(?:apiVersion|kind)"\s*:\s*"[\w./-]*"\s*,|\s*"metadata"\s*:\s*\{[^{}\[\]]*\}\s*,)*'
    r'\s*"items"\s*:\s*\['
)


class NotJson(Exception):
    """The text is not JSON; it may still be YAML. `flaw` says what is wrong if it was meant to be JSON."""

    def __init__(self, flaw: Flaw) -> None:
        super().__init__(flaw.text)
        self.flaw = flaw


class Unsound(Exception):
    """Something is wrong in an item; `read_json` finds out what."""


class Items:
    """The items of a list, each parsed when it is asked for. Raises Unsound when something is wrong."""

    def __init__(self, text: str, begin: int, end: int) -> None:
        self._text = text
        self._begin = begin
        self._end = end
        #: Where the items begin that have been read so far.
        self.offsets: list[int] = []

    def __iter__(self) -> Iterator[object]:
        text, end = self._text, self._end
        decoder = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)
        at = _skip_space(text, self._begin)
        while at != end:
            if self.offsets:
                if text[at] != ",":
                    raise Unsound
                at = _skip_space(text, at + 1)
            self.offsets.append(at)
            try:
                value, at = decoder.raw_decode(text, at)
            except (ValueError, RecursionError) as error:
                raise Unsound from error
            yield value
            at = _skip_space(text, at)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        raise Unsound
    return mapping


def _no_constant(_constant: str) -> object:
    raise Unsound


def _skip_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return at if match is None else match.end()


@dataclass(slots=True)
class JsonDocument:
    """A JSON value that begins at an offset of a text."""

    text: str
    value: object
    begin: int = 0
    flaws: list[Flaw] = field(default_factory=list)
    items: Items | None = None
    _lines: dict[Path, int] = field(default_factory=dict)
    #: An offset of the text, its line, and where that line begins: places are mostly asked for in order.
    _known: tuple[int, int, int] = (0, 1, 0)

    @property
    def start(self) -> Place:
        """Where the value begins."""
        return self.place(_skip_space(self.text, self.begin))

    def locate(self, wanted: frozenset[Path]) -> dict[Path, tuple[Place, Place]]:
        """The places of the keys and values at some paths; a path that is not there is missing."""
        return {
            path: (self.place(key), self.place(value))
            for path, key, value in self._walk(wanted)
            if path in wanted
        }

    def line(self, path: Path) -> int:
        """The line of a value; in a long text that of the object that it belongs to."""
        if len(self.text) <= MAX_WITH_LINES:
            if path not in self._lines:
                for here, _, value in self._walk((path,)):
                    self._lines[here] = self.place(value).line
            return self._lines.get(path, self.start.line)
        if self.items is None or len(path) < 2 or not isinstance(path[1], int):
            return self.start.line
        return self.place(self.items.offsets[path[1]]).line

    def _walk(self, wanted: Iterable[Path]) -> Iterator[tuple[Path, int, int]]:
        """The document, or those of its items in which something is wanted."""
        if self.items is None:
            yield from _walk(self.text, self.begin)
            return
        for number in sorted({path[1] for path in wanted if len(path) > 1 and isinstance(path[1], int)}):
            for path, key, value in _walk(self.text, self.items.offsets[number]):
                yield ("items", number, *path), key, value

    def place(self, offset: int) -> Place:
        """The line and column of an offset."""
        known, line, begin = self._known if self._known[0] <= offset else (0, 1, 0)
        newlines = self.text.count("\n", known, offset)
        if newlines:
            line, begin = line + newlines, self.text.rfind("\n", known, offset) + 1
        self._known = (offset, line, begin)
        return Place(line, offset - begin + 1)


def read_items(text: str) -> JsonDocument | None:
    """A list whose items are yet to be parsed, or None if the text is not just a list as servers write it."""
    head = _HEAD.match(text)
    end = text.rfind("]")
    if head is None or end < head.end():
        return None
    try:
        around = json.loads(text[: head.end()] + text[end:], object_pairs_hook=_unique)
    except (ValueError, RecursionError, Unsound):
        return None
    items = Items(text, head.end(), end)
    return JsonDocument(text, {**around, "items": items}, items=items)


def read_json(text: str) -> list[JsonDocument]:
    """Read JSON values that follow each other; NotJson if there is anything else."""
    documents: list[JsonDocument] = []
    at = _skip_between(text, 0)
    while at < len(text):
        document, at = _read_value(text, at)
        documents.append(document)
        at = _skip_between(text, at)
    return documents


def _skip_between(text: str, at: int) -> int:
    match = _BETWEEN.match(text, at)
    return at if match is None else match.end()


def _read_value(text: str, begin: int) -> tuple[JsonDocument, int]:
    """One value with its flaws: what is JSON to most readers, but nobody should rely on."""
    unsound: set[str] = set()

    def check(pairs: list[tuple[str, object]]) -> dict[str, object]:
        mapping = dict(pairs)
        if len(mapping) != len(pairs):
            unsound.add("duplicates")
        return mapping

    def refuse(constant: str) -> object:
        unsound.add(constant)
        return None

    decoder = json.JSONDecoder(object_pairs_hook=check, parse_constant=refuse)
    document = JsonDocument(text, None, begin)
    try:
        document.value, end = decoder.raw_decode(text, begin)
    except json.JSONDecodeError as error:
        behind = error.msg == "Expecting value" and error.pos == begin and begin > 0
        problem = "the text goes on after the end of the value" if behind else error.msg
        raise NotJson(Flaw(Place(error.lineno, error.colno), f"not valid JSON: {problem}")) from error
    except RecursionError as error:
        raise NotJson(Flaw(document.start, "nested too deeply")) from error
    except ValueError as error:  # an integer of thousands of digits
        raise NotJson(Flaw(document.start, "a number has too many digits")) from error
    for constant in sorted(unsound - {"duplicates"}):
        document.flaws.append(Flaw(document.start, f"{constant} is not a number that a manifest can hold"))
    if "duplicates" in unsound:
        document.flaws.extend(_duplicates(document))
    return document, end


def _duplicates(document: JsonDocument) -> Iterator[Flaw]:
    first: dict[Path, int] = {}  # its line
    for path, key, _ in _walk(document.text, document.begin):
        place = document.place(key)
        if path in first and isinstance(path[-1], str):
            yield Flaw(place, f"duplicate key {quote(path[-1])}; see line {first[path]}")
        first.setdefault(path, place.line)


def _walk(text: str, begin: int) -> Iterator[tuple[Path, int, int]]:
    """Every part of a valid JSON value: its path, the offset of its key (or of itself), its own offset."""
    path: list[str | int] = []
    kinds: list[str] = []
    key_at: int | None = None
    expect_key = False
    for match in _TOKEN.finditer(text, begin):
        sign, at = match.group(), match.start()
        if sign in "}]":
            kinds.pop()
            path.pop()
            expect_key = False
            if not kinds:
                return
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
            elif not kinds:
                return
