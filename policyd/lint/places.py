"""Drafts → findings: the line and column of each path, and the edit that a change comes to in the text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from policyd.kube.objects import NetworkPolicy, Source
from policyd.kube.reading import Path, print_path
from policyd.lint.drafts import Change, Draft, Subject
from policyd.lint.finding import Edit, Finding, Level, Suggestion
from policyd.lint.label_rules import is_quoting
from policyd.manifests.load import Document
from policyd.manifests.places import Place
from policyd.manifests.scalars import resolve_scalar

_QUOTED = re.compile(r""""[^"\\]*"|'[^']*'""")
_ITEM = re.compile(r"\s*-\s+")
#: What YAML takes as it is, wherever a label or a port name stands.
_PLAIN = re.compile(r"[A-Za-z0-9][-A-Za-z0-9_./]*")


@dataclass(frozen=True, slots=True)
class Judged:
    """A finding that has no place yet, of an object and with its level. `off`: an annotation says so."""

    subject: Subject
    draft: Draft
    level: Level
    certain: bool
    off: bool


def placed(judged: Iterable[Judged], texts: Mapping[str, str]) -> Iterator[tuple[Finding, bool]]:
    """The findings with their places, and whether they are off.

    `texts`: what the files hold, for those that edits may be made in.
    """
    by_document: dict[int, tuple[Document | None, list[Judged]]] = {}
    for each in judged:
        document = each.subject.written.document if each.subject.written else None
        by_document.setdefault(id(document), (document, []))[1].append(each)
    for document, group in by_document.values():
        wanted = frozenset(path for each in group for path in _wanted(each))
        found = document.locate(wanted) if document is not None and wanted else {}
        for each in group:
            yield _finding(each, found, texts), each.off


def _wanted(each: Judged) -> Iterator[Path]:
    subject, draft = each.subject, each.draft
    prefix = subject.written.prefix if subject.written else ()
    full = (*prefix, *draft.path)
    yield from (full[:length] for length in range(len(prefix), len(full) + 1))
    if draft.change is not None:
        yield (*prefix, *draft.change.path)


def _finding(judged: Judged, found: Mapping[Path, tuple[Place, Place]], texts: Mapping[str, str]) -> Finding:
    subject, draft = judged.subject, judged.draft
    written, place = subject.written, Place(0, 0)
    source = _source(subject.policy, draft.path) if subject.policy else None
    file = source.file if source else ""
    edit = None
    if written is not None:
        file = written.file
        full = (*written.prefix, *draft.path)
        around = (full[:length] for length in range(len(full), -1, -1))
        place = next((found[path][1] for path in around if path in found), written.document.start)
        if draft.change is not None:
            edit = _edit(draft.change, found.get((*written.prefix, *draft.change.path)), file, texts)
    elif source is not None:
        place = Place(source.line, 1 if source.line else 0)
    return Finding(
        draft.rule,
        judged.level,
        file,
        place.line,
        place.column,
        subject.named,
        print_path(draft.path),
        draft.message,
        _suggestion(draft, edit),
        judged.certain,
    )


def _source(policy: NetworkPolicy, path: Path) -> Source | None:
    """Where a policy was written, or the rule or the peer of it that a path is about."""
    source = policy.source
    if len(path) > 2 and isinstance(path[2], int) and source is not None:
        rules = (policy.ingress if path[1] == "ingress" else policy.egress) or ()
        rule = rules[path[2]]
        source = rule.source or source
        if len(path) > 4 and path[3] in ("from", "to"):
            line = next((line for number, line in rule.places if number == path[4]), source.line)
            source = Source(source.file, line)
    return source


def _suggestion(draft: Draft, edit: Edit | None) -> Suggestion | None:
    if not draft.hint:
        return None
    change = draft.change
    if change is None:
        return Suggestion(draft.hint)
    if is_quoting(change):
        return Suggestion(draft.hint, edit.new if edit else None, edit)
    return Suggestion(draft.hint, change.new, edit)


def _edit(
    change: Change, places: tuple[Place, Place] | None, file: str, texts: Mapping[str, str]
) -> Edit | None:
    """The change as text for text; None where it is not certain what stands there."""
    if places is None or file not in texts:
        return None
    place = places[0] if change.at == "key" else places[1]
    lines = texts[file].split("\n")
    if not 0 < place.line <= len(lines):
        return None
    line = lines[place.line - 1]
    rest = line[place.column - 1 :]
    quoted = _QUOTED.match(rest)
    if quoted is not None:
        old, mark = quoted.group(), quoted.group()[0]
    elif place.plain and rest.startswith(place.plain):
        old, mark = place.plain, ""
    else:
        return None
    new = _new_text(change, old, mark, line[: place.column - 1], "\r\n" if line.endswith("\r") else "\n")
    return None if new is None else Edit(file, place.line, place.column, old, new)


def _new_text(change: Change, old: str, mark: str, before: str, newline: str) -> str | None:
    if is_quoting(change):
        return json.dumps(old) if not mark else None
    safe = bool(_PLAIN.fullmatch(change.new))
    number = change.new.isdecimal() and not mark
    plain = safe and (number or resolve_scalar(change.new) == change.new)
    if mark:
        new = f"{mark}{change.new}{mark}" if safe else json.dumps(change.new)
    else:
        new = change.new if plain else json.dumps(change.new)
    if not change.append:
        return new
    if _ITEM.fullmatch(before):
        return f"{old}{newline}{before}{new}"
    return f"{old}, {new}" if before.rstrip().endswith(("[", ",")) or before.strip() == "" else None
