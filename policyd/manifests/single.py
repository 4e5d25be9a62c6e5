"""A file of policyd's own: one YAML document, decoded, or all that is wrong in it. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from policyd.errors import BadInput, Diagnostic
from policyd.kube.objects import Source
from policyd.kube.reading import Path, Reading
from policyd.kube.syntax import printable
from policyd.manifests.yaml_text import YamlDocument, read_yaml

#: Such a file is not longer, in bytes.
MAX_LENGTH: Final = 256 * 1024
_Value = TypeVar("_Value")


def read_single(
    text: bytes,
    file: str,
    decode: Callable[[object, Reading], _Value],
    *,
    several: str = "only one document is read of such a file",
) -> _Value:
    """What `decode` makes of the one document of a file; of None, if there is none.

    Raises BadInput with all mistakes; `several` is said where there are more documents.
    """
    file = printable(file)
    if len(text) > MAX_LENGTH:
        raise BadInput((Diagnostic(file, 0, 0, "error", f"longer than {MAX_LENGTH >> 10} KiB"),))
    try:
        text.decode()
    except UnicodeDecodeError:
        raise BadInput((Diagnostic(file, 0, 0, "error", "is not UTF-8 text"),)) from None
    documents, flaws = read_yaml(text)
    flaws.extend(flaw for document in documents for flaw in document.flaws)
    if flaws:
        diagnostics = (Diagnostic(file, f.place.line, f.place.column, "error", f.text) for f in flaws)
        raise BadInput(tuple(sorted(diagnostics)))
    if len(documents) > 1:
        line = documents[1].start.line
        raise BadInput((Diagnostic(file, line, 1, "error", several),))
    return _decoded(documents[0] if documents else None, file, decode)


def _decoded(document: YamlDocument | None, file: str, decode: Callable[[object, Reading], _Value]) -> _Value:
    def source(path: Path) -> Source:
        return Source(file, document.line(path) if document else 0)

    reading = Reading(source=source)
    value = decode(document.value if document else None, reading)
    if reading.mistakes:
        raise BadInput(tuple(sorted(_diagnostics(document, file, reading))))
    return value


def _diagnostics(document: YamlDocument | None, file: str, reading: Reading) -> list[Diagnostic]:
    places = document.locate(frozenset(each.path for each in reading.mistakes)) if document else {}
    diagnostics = []
    for mistake in reading.mistakes:
        line, column = (document.start.line, document.start.column) if document else (0, 0)
        if mistake.path in places:
            place = places[mistake.path][mistake.at != "key"]
            line, column = place.line, place.column
        diagnostics.append(Diagnostic(file, line, column, "error", str(mistake)))
    return diagnostics
