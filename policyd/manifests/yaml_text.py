"""YAML text → values as kubectl would see them, with the place of each key and value.

Built on parser events, not on PyYAML's constructors: those resolve scalars otherwise than kubectl does (it
reads dates as strings and 1:30 too), let a second key win silently, and lose where things were written.
Nesting is bounded because libyaml's composer recurses on the C stack; aliases are bounded because nine lines
can mean a billion values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml
from yaml.cyaml import CParser  # type: ignore[attr-defined]  # the stubs do not export it
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    StreamEndEvent,
)

from policyd.kube.reading import Path
from policyd.kube.syntax import quote
from policyd.manifests.places import Flaw, Place
from policyd.manifests.scalars import NOT_A_NUMBER, resolve_scalar

MAX_DEPTH = 100
MAX_ALIASED = 100_000
_TAG = "tag:yaml.org,2002:"
_MERGE = object()
#: With one of these a manifest begins.
_BEGINNINGS = ("apiVersion", "kind")


@dataclass(slots=True)
class YamlDocument:
    """One document: its value, and where each entry of each mapping and list in it was written."""

    start: Place
    value: object = None
    flaws: list[Flaw] = field(default_factory=list)
    entries: dict[tuple[int, str | int], tuple[Place, Place]] = field(default_factory=dict)
    #: What has entries but is not in the value: if it went, something else could get its `id`.
    dropped: list[object] = field(default_factory=list)
    #: The key with which another manifest begins in the middle of this one; empty if none does.
    begins: str = ""

    def locate(self, wanted: frozenset[Path]) -> dict[Path, tuple[Place, Place]]:
        """The places of the keys and values at some paths; a path that is not there is missing."""
        found = {path: self._find(path) for path in wanted}
        return {path: places for path, places in found.items() if places is not None}

    def line(self, path: Path) -> int:
        """The line of a value; 0 if there is none."""
        places = self._find(path)
        return places[1].line if places else 0

    def _find(self, path: Path) -> tuple[Place, Place] | None:
        places: tuple[Place, Place] | None = (self.start, self.start)
        container: object = self.value
        for step in path:
            places = self.entries.get((id(container), step))
            if places is None:
                return None
            container = container[step]  # type: ignore[index]  # an entry says that it is there
        return places


def read_yaml(text: bytes) -> tuple[list[YamlDocument], list[Flaw]]:
    """Read the documents up to the first thing that is no YAML, and that thing."""
    reader = _Reader(text)
    documents: list[YamlDocument] = []
    flaws: list[Flaw] = []
    try:
        for document in reader.documents():
            documents.append(document)  # noqa: PERF402 (those before an error are kept)
    except yaml.YAMLError as error:
        flaws.append(_syntax_flaw(error, text))
    except _FatalSyntaxError as error:
        flaws.append(error.flaw)
    return documents, flaws


class _FatalSyntaxError(Exception):
    """Reading on makes no sense."""

    def __init__(self, place: Place, text: str) -> None:
        super().__init__(text)
        self.flaw = Flaw(place, text)


class _Reader:
    """Turns events into values. `_aliased` counts values that stand in the text as an alias."""

    def __init__(self, text: bytes) -> None:
        self._parser = CParser(text)
        self._document = YamlDocument(Place(0, 0))
        self._anchors: dict[str, tuple[object, int] | None] = {}
        self._aliased = 0
        self._size = 0

    def _note(self, place: Place, text: str) -> None:
        self._document.flaws.append(Flaw(place, text))

    def _next(self) -> Event:
        event = self._parser.get_event()
        if event is None:  # only after the end of the stream, which is the last that is asked for
            raise _FatalSyntaxError(Place(0, 0), "the text ends too early")
        return event

    def documents(self) -> Iterator[YamlDocument]:
        while True:
            event = self._next()
            if isinstance(event, StreamEndEvent):
                return
            if isinstance(event, DocumentStartEvent):
                self._anchors = {}
                first = self._next()
                self._document = YamlDocument(_place(first))
                self._document.value = self._read(first, 0)
                yield self._document

    def _read(self, event: Event, depth: int) -> object:
        if isinstance(event, ScalarEvent):
            return self._scalar(event)
        if isinstance(event, AliasEvent):
            return self._alias(event)
        if depth >= MAX_DEPTH:
            raise _FatalSyntaxError(_place(event), f"nested deeper than {MAX_DEPTH} levels")
        anchor = getattr(event, "anchor", None)
        before = self._size
        self._size += 1
        if anchor is not None:
            self._anchors[anchor] = None  # an alias inside would never end
        if isinstance(event, MappingStartEvent):
            self._check_tag(event, "map")
            value: object = self._mapping(depth)
        else:
            self._check_tag(event, "seq")
            value = self._list(depth)
        if anchor is not None:
            self._anchors[anchor] = (value, self._size - before)
        return value

    def _list(self, depth: int) -> list[object]:
        out: list[object] = []
        entries = self._document.entries
        get_event = self._next
        while True:
            event = get_event()
            if isinstance(event, SequenceEndEvent):
                return out
            place = _place(event)
            entries[(id(out), len(out))] = (place, place)
            out.append(self._read(event, depth + 1))

    def _mapping(self, depth: int) -> dict[str, object]:
        out: dict[str, object] = {}
        merged: list[tuple[object, Place]] = []
        entries = self._document.entries
        get_event = self._next
        while True:
            event = get_event()
            if isinstance(event, MappingEndEvent):
                self._merge(out, merged)
                return out
            key_place = _place(event)
            key = self._key(event)
            event = get_event()
            value_place = _place(event)
            value = self._read(event, depth + 1)
            if not isinstance(key, str):
                merged.append((value, key_place))
                continue
            here = (id(out), key)
            if key in out:
                self._note_duplicate(key, key_place, entries[here][0].line, depth)
                self._document.dropped.append(out[key])
            out[key] = value
            entries[here] = (key_place, value_place)

    def _note_duplicate(self, key: str, place: Place, first: int, depth: int) -> None:
        """Report a second key; where one manifest follows another without `---`, once for each of them."""
        begins = self._document.begins
        if depth == 0 and not begins and key in _BEGINNINGS:
            self._document.begins = begins = key
        if depth == 0 and begins == key:
            line = place.line
            hint = f"is a `---` missing before line {line}?"
            self._note(place, f"{quote(key)} is here again, after line {first}: {hint}")
        elif depth or not begins:
            self._note(place, f"duplicate key {quote(key)}; see line {first}")

    def _key(self, event: Event) -> object:
        """A key as text, as kubectl makes it; `_MERGE` for `<<`."""
        place = _place(event)
        if not isinstance(event, ScalarEvent):
            raise _FatalSyntaxError(place, "a key must be plain text, not a mapping, a list or an alias")
        value = self._scalar(event)
        if event.implicit[0] and event.value == "<<":
            return _MERGE
        if isinstance(value, str):
            return value
        if value is None:
            self._note(place, "a key must not be null")
            return event.value
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if text != event.value:
            hint = f"YAML reads the key {quote(event.value)[1:-1]} as {text}; put it in quotes"
            self._document.flaws.append(Flaw(place, hint, "warning"))
        return text

    def _merge(self, out: dict[str, object], merged: list[tuple[object, Place]]) -> None:
        """Add what merge keys bring; a key that is written out counts, then the earlier one."""
        entries = self._document.entries
        for value, place in merged:
            self._document.dropped.append(value)
            sources = value if isinstance(value, list) else [value]
            for source in sources:
                if not isinstance(source, dict):
                    self._document.flaws.append(
                        Flaw(place, "a merge key << needs a mapping, or a list of mappings")
                    )
                    continue
                for key, inherited in source.items():
                    if key not in out:
                        out[key] = inherited
                        entries[(id(out), key)] = entries[(id(source), key)]

    def _alias(self, event: AliasEvent) -> object:
        place = _place(event)
        anchor = event.anchor or ""
        if anchor not in self._anchors:
            raise _FatalSyntaxError(place, f"there is no anchor {quote(anchor)} above this alias")
        known = self._anchors[anchor]
        if known is None:
            raise _FatalSyntaxError(place, f"the alias {quote(anchor)} is inside of its own anchor")
        value, size = known
        self._aliased += size
        self._size += size
        if self._aliased > MAX_ALIASED:
            raise _FatalSyntaxError(place, f"the aliases up to here stand for more than {MAX_ALIASED} values")
        return value

    def _scalar(self, event: ScalarEvent) -> object:
        self._size += 1
        text: str = event.value
        tag = event.tag
        if tag is None or tag in ("!", _TAG + "str"):
            value = resolve_scalar(text) if tag is None and event.implicit[0] else text
        elif tag in (_TAG + "int", _TAG + "float", _TAG + "bool", _TAG + "null"):
            value = resolve_scalar(text)
        else:
            self._document.flaws.append(
                Flaw(_place(event), f"the tag {quote(tag)} has no meaning in a manifest")
            )
            value = text
        if value is NOT_A_NUMBER:
            self._document.flaws.append(
                Flaw(_place(event), f"{text} is not a number that a manifest can hold")
            )
            value = text
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, 1)
        return value

    def _check_tag(self, event: Event, kind: str) -> None:
        tag = getattr(event, "tag", None)
        if tag not in (None, "!", _TAG + kind):
            self._document.flaws.append(
                Flaw(_place(event), f"the tag {quote(str(tag))} has no meaning in a manifest")
            )


def _place(event: Event) -> Place:
    mark = event.start_mark
    if mark is None:  # events of libyaml always have one
        return Place(0, 0)
    plain = event.value if isinstance(event, ScalarEvent) and event.implicit[0] else ""
    return Place(mark.line + 1, mark.column + 1, plain)


def _syntax_flaw(error: yaml.YAMLError, text: bytes) -> Flaw:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"
    place = Place(mark.line + 1, mark.column + 1) if mark is not None else _offset_place(error, text)
    lines = text.splitlines()
    line = lines[place.line - 1] if 0 < place.line <= len(lines) else b""
    if re.match(rb"[ ]*\t", line) or "\\t" in str(problem):
        return Flaw(place, "there is a tab in the indentation; YAML allows only spaces")
    return Flaw(place, f"not valid YAML: {problem}")


def _offset_place(error: yaml.YAMLError, text: bytes) -> Place:
    offset = getattr(error, "position", None)
    if not isinstance(offset, int):
        return Place(0, 0)
    before = text[:offset]
    return Place(before.count(b"\n") + 1, offset - before.rfind(b"\n"))
