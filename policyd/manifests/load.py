"""Manifest text → objects and diagnostics, for any bytes: nothing here raises.

YAML and JSON, several documents, `List` and `*List`. All mistakes are reported at once, each with file, line
and column, and an object with an error is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias, TypeGuard

from policyd.errors import Diagnostic
from policyd.kube.decode import Decoded, decode_manifest
from policyd.kube.kind import Kinds
from policyd.kube.objects import KubeObject, Source
from policyd.kube.reading import Mistake, Path, ReadingOptions, kind_of
from policyd.kube.registry import KINDS
from policyd.kube.syntax import printable, quote
from policyd.manifests.causes import byte_place, find_cause, find_template, without_marks
from policyd.manifests.json_text import Items, JsonDocument, NotJson, Unsound, read_items, read_json
from policyd.manifests.places import Flaw, Place
from policyd.manifests.yaml_text import YamlDocument, read_yaml

#: The longest texts that are read. JSON is what a large cluster comes in: with 10 000 pods, some 70 MB.
MAX_JSON = 512 * 1024 * 1024
#: YAML is read at 2 MB a second.
MAX_YAML = 32 * 1024 * 1024
#: Up to here, text that begins with a brace and is no JSON is tried as YAML.
MAX_FLOW_YAML = 4 * 1024 * 1024

_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")

DEFAULTS = ReadingOptions()
_END = object()

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

Document: TypeAlias = YamlDocument | JsonDocument
LoadedObjects: TypeAlias = tuple[tuple[KubeObject, ...], tuple[Diagnostic, ...]]


def load_manifest(
    text: bytes, file: str, options: ReadingOptions = DEFAULTS, kinds: Kinds = KINDS
) -> LoadedObjects:
    """Read a manifest: the objects without errors, and everything to say about the others."""
    file = printable(file)
    text = without_marks(text)
    refusal = _refuse_bytes(text)
    if refusal is not None:
        return (), (_diagnostic(file, refusal),)
    decoded = text.decode() if _begins_as_json(text) else ""
    one_list = read_items(decoded)
    if one_list is not None and _is_list(one_list.value):
        with suppress(Unsound):
            return _load_document(one_list, file, options, kinds)
    documents, flaws = _read_documents(text, decoded)
    unsound = flaws or any(flaw.severity == "error" for document in documents for flaw in document.flaws)
    template = find_template(text) if unsound else None
    if template is not None:
        return (), (_diagnostic(file, template),)
    objects: list[KubeObject] = []
    diagnostics = [_diagnostic(file, flaw) for flaw in flaws]
    for document in documents:
        loaded, said = _load_document(document, file, options, kinds)
        objects.extend(loaded)
        diagnostics.extend(said)
    return tuple(objects), tuple(sorted(_with_cause(diagnostics, flaws, text, file)))


@dataclass(frozen=True, slots=True)
class Written:
    """An object as somebody wrote it: raw values, nothing checked but that it is a mapping.

    `document` and `prefix` say where it stands: several objects of a list share a document.
    """

    raw: Mapping[str, object]
    file: str
    document: Document
    prefix: Path


def written_objects(text: bytes, file: str) -> Iterator[Written]:
    """The raw objects of a manifest, lists taken apart, as far as the text is YAML or JSON (NP-011).

    For who asks how something was written; what is wrong with it, `load_manifest` reports. A list as
    servers write it is read item by item.
    """
    text, file = without_marks(text), printable(file)
    if _refuse_bytes(text) is not None:
        return
    decoded = text.decode() if _begins_as_json(text) else ""
    documents: Sequence[Document] = ()
    one_list = read_items(decoded)
    if one_list is not None and _is_list(one_list.value):
        documents = (one_list,)
    else:
        documents, _ = _read_documents(text, decoded)
    for document in documents:
        if isinstance(document, YamlDocument) and document.begins:
            continue
        with suppress(Unsound):
            for raw, prefix, mistakes in _expand(document.value):
                if isinstance(raw, dict) and not mistakes:
                    yield Written(raw, file, document, prefix)


def _with_cause(
    diagnostics: list[Diagnostic], flaws: Sequence[Flaw], text: bytes, file: str
) -> list[Diagnostic]:
    """Mistakes, or in their place the cause that they follow from.

    What follows: that the text ends to be YAML or JSON, and whatever is wrong in the cause's own line.
    """
    if not any(diagnostic.severity == "error" for diagnostic in diagnostics):
        return diagnostics
    cause = find_cause(text)
    if cause is None:
        return diagnostics
    broken = {(flaw.place.line, flaw.place.column, flaw.text) for flaw in flaws}
    others = [
        each
        for each in diagnostics
        if (each.line, each.column, each.text) not in broken and each.line != cause.place.line
    ]
    return [*others, _diagnostic(file, cause)]


def size_mistake(head: bytes, size: int) -> str | None:
    """Say why a text of so many bytes that begins like this is not read, or None if it is."""
    if _begins_as_json(head.removeprefix(_BYTE_ORDER_MARK)):
        return f"longer than {MAX_JSON >> 20} MiB: split it" if size > MAX_JSON else None
    if size <= MAX_YAML:
        return None
    return (
        f"longer than {MAX_YAML >> 20} MiB, which is too much YAML: give it as JSON "
        f"(`kubectl get -o json`), of which up to {MAX_JSON >> 20} MiB are read"
    )


def _begins_as_json(text: bytes) -> bool:
    return text[:4096].lstrip()[:1] in (b"{", b"[")


def combine(objects: Iterable[KubeObject], kinds: Kinds = KINDS) -> tuple[Diagnostic, ...]:
    """An error for every object that another one with the same kind, namespace and name came before."""
    return tuple(sorted(twin_mistake(first, other, kinds) for first, other in twins(objects, kinds)))


def twins(objects: Iterable[KubeObject], kinds: Kinds = KINDS) -> Iterator[tuple[KubeObject, KubeObject]]:
    """Every object that another one with the same kind, namespace and name came before, after that one."""
    first: dict[tuple[str, str], KubeObject] = {}
    for item in objects:
        kind = kinds.of(item)
        other = first.setdefault((kind.name, kind.key(item)), item)
        if other is not item:
            yield other, item


def twin_mistake(first: KubeObject, other: KubeObject, kinds: Kinds = KINDS) -> Diagnostic:
    """What is wrong with an object that another one came before."""
    kind = kinds.of(other)
    text = f"{kind.name} {kind.key(other)} is given twice; the first is at {_print_source(first.source)}"
    source = other.source or Source("", 0)
    return Diagnostic(source.file, source.line, 1 if source.line else 0, "error", text)


def _print_source(source: Source | None) -> str:
    if source is None:
        return "an unknown place"
    return f"{source.file}:{source.line}" if source.line else source.file


def _refuse_bytes(text: bytes) -> Flaw | None:
    """What no reader should be given: too much, no text, or another encoding."""
    too_long = size_mistake(text[:4096], len(text))
    if too_long is not None:
        return Flaw(Place(0, 0), too_long)
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):
        return Flaw(Place(1, 1), "the file is UTF-16; save it as UTF-8")
    try:
        text.decode()
    except UnicodeDecodeError as error:
        return Flaw(byte_place(text, error.start), f"byte 0x{text[error.start]:02x} is not UTF-8 text")
    return None


def _read_yaml(text: bytes) -> tuple[list[Document], list[Flaw]]:
    control = _CONTROL.search(text)
    if control is None:
        documents, flaws = read_yaml(text)
        return [*documents], flaws
    code = control.group()[0]
    place = byte_place(text, control.start())
    return [], [Flaw(place, f"control character 0x{code:02x}: this is not a text file")]


def _read_documents(text: bytes, decoded: str) -> tuple[Sequence[Document], list[Flaw]]:
    """JSON where it looks like it, else YAML, of which JSON is nearly a part."""
    if not decoded:
        return _read_yaml(text)
    try:
        return read_json(decoded), []
    except NotJson as error:
        if len(text) <= MAX_FLOW_YAML:  # braces also begin YAML in flow style
            documents, flaws = _read_yaml(text)
            if not flaws:
                return documents, []
        return [], [error.flaw]


def _load_document(document: Document, file: str, options: ReadingOptions, kinds: Kinds) -> LoadedObjects:
    objects: list[KubeObject] = []
    unplaced: list[_Placeless] = []
    sound = all(flaw.severity == "warning" for flaw in document.flaws)
    mixed = isinstance(document, YamlDocument) and document.begins
    for raw, prefix, mistakes in _expand(None if mixed else document.value):
        decoded = Decoded(None, mistakes)
        if not mistakes:
            decoded = decode_manifest(raw, options, _Sources(document, file, prefix), kinds)
        if decoded.item is not None and sound:
            objects.append(decoded.item)
        if decoded.mistakes:
            title = _title(raw)
            unplaced.extend(
                _Placeless((*prefix, *mistake.path), title, mistake) for mistake in decoded.mistakes
            )
    flaws = (_diagnostic(file, flaw) for flaw in document.flaws)
    return tuple(objects), tuple(sorted((*flaws, *_place_all(unplaced, document, file))))


@dataclass(frozen=True, slots=True)
class _Sources:
    """Where parts of one object were written."""

    document: Document
    file: str
    prefix: Path

    def __call__(self, path: Path) -> Source:
        return Source(self.file, self.document.line((*self.prefix, *path)))


def _expand(value: object) -> Iterator[tuple[object, Path, tuple[Mistake, ...]]]:
    """The objects of a document, with their paths: lists and lists of lists are taken apart (NP-011)."""
    waiting: list[Iterator[tuple[object, Path]]] = [iter(() if value is None else ((value, ()),))]
    while waiting:
        raw, path = next(waiting[-1], (_END, ()))
        if raw is _END:
            waiting.pop()
        elif not _is_list(raw):
            yield raw, path, ()
        elif (items := raw.get("items")) is None:
            continue
        elif isinstance(items, list | Items):
            waiting.append(_items(raw, items, path))
        else:
            yield raw, path, (Mistake(("items",), f"must be a list, not {kind_of(items)}"),)


def _items(
    parent: Mapping[str, object], items: Iterable[object], path: Path
) -> Iterator[tuple[object, Path]]:
    for index, item in enumerate(items):
        yield _with_type(item, parent), (*path, "items", index)


def _is_list(raw: object) -> TypeGuard[Mapping[str, object]]:
    return (
        isinstance(raw, dict)
        and isinstance(raw.get("kind"), str)
        and raw["kind"].endswith("List")
        and (raw["kind"] == "List" or "items" in raw)
    )


def _with_type(item: object, parent: Mapping[str, object]) -> object:
    """An item of a PodList and the like does not say what it is."""
    kind = str(parent["kind"]).removesuffix("List")
    if not kind or not isinstance(item, dict) or "kind" in item:
        return item
    return {"apiVersion": parent.get("apiVersion"), "kind": kind, **item}


class _Placeless(NamedTuple):
    """A mistake with the path from the document's root, and what it says first."""

    path: Path
    title: str
    mistake: Mistake


def _place_all(unplaced: list[_Placeless], document: Document, file: str) -> Iterator[Diagnostic]:
    """Give each mistake its place: that of the key or value, or of the nearest thing around that is there."""
    wanted = frozenset(path[:length] for path, _, _ in unplaced for length in range(len(path) + 1))
    places = document.locate(wanted) if wanted else {}
    for path, title, mistake in unplaced:
        found = places.get(path)
        if found is not None:
            place = found[0] if mistake.at == "key" else found[1]
        else:
            around = (path[:length] for length in range(len(path) - 1, -1, -1))
            place = next((places[outer][0] for outer in around if outer in places), document.start)
        text = f"{title}{mistake}{_quoting_hint(mistake, place)}"
        yield Diagnostic(file, place.line, place.column, mistake.severity, text)


def _quoting_hint(mistake: Mistake, place: Place) -> str:
    if place.plain and mistake.text.startswith("must be a string, not the "):
        return f"; YAML reads {quote(place.plain)[1:-1]} so: put it in quotes"
    return ""


def _title(raw: object) -> str:
    """`NetworkPolicy shop/web: `, as far as the object says."""
    if not isinstance(raw, dict) or not isinstance(raw.get("kind"), str):
        return ""
    metadata = raw.get("metadata")
    names = [metadata.get(key) for key in ("namespace", "name")] if isinstance(metadata, dict) else []
    key = "/".join(quote(name)[1:-1] for name in names if isinstance(name, str) and name)
    kind = quote(raw["kind"])[1:-1]
    return f"{kind} {key}: " if key else f"{kind}: "


def _diagnostic(file: str, flaw: Flaw) -> Diagnostic:
    return Diagnostic(file, flaw.place.line, flaw.place.column, flaw.severity, flaw.text)
