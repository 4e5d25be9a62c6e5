"""Edits made in texts: each where it says, or not at all. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from policyd.lint.finding import Edit
from policyd.manifests.load import written_objects


@dataclass(frozen=True, slots=True)
class Fixed:
    """A text with edits made in it; `left` could not be made."""

    text: bytes
    made: tuple[Edit, ...]
    left: tuple[Edit, ...]


def fix(file: str, text: bytes, edits: Iterable[Edit]) -> Fixed:
    """Make the edits one by one, from the end to the beginning; one that would change more is left.

    An edit is made if what it replaces stands there, and if the objects read before and after differ in one
    value only: an anchor that others refer to is no place for it.
    """
    made: list[Edit] = []
    left: list[Edit] = []
    taken: set[tuple[int, int]] = set()
    for edit in sorted(set(edits), key=lambda e: (e.line, e.column, e.new), reverse=True):
        changed = _made(text, edit) if (edit.line, edit.column) not in taken else None
        if changed is None or _differences(_read(file, text), _read(file, changed)) != 1:
            left.append(edit)
            continue
        taken.add((edit.line, edit.column))
        text = changed
        made.append(edit)
    return Fixed(text, tuple(reversed(made)), tuple(reversed(left)))


def _made(text: bytes, edit: Edit) -> bytes | None:
    try:
        lines = text.decode().split("\n")
    except UnicodeDecodeError:
        return None
    if not 0 < edit.line <= len(lines):
        return None
    line, at = lines[edit.line - 1], edit.column - 1
    if not line.startswith(edit.old, at):
        return None
    lines[edit.line - 1] = line[:at] + edit.new + line[at + len(edit.old) :]
    return "\n".join(lines).encode()


def _read(file: str, text: bytes) -> object:
    return [written.raw for written in written_objects(text, file)]


def _differences(one: object, other: object) -> int:
    """In how many values two raw values differ; a key that has another name is one."""
    if isinstance(one, dict) and isinstance(other, dict):
        gone, come = one.keys() - other.keys(), other.keys() - one.keys()
        same = sum(_differences(one[key], other[key]) for key in one.keys() & other.keys())
        if len(gone) == len(come) == 1:
            return same + 1 + _differences(one[gone.pop()], other[come.pop()])
        return same + len(gone) + len(come)
    if isinstance(one, list) and isinstance(other, list):
        same = sum(map(_differences, one, other))
        return same + abs(len(one) - len(other))
    return int(one != other or type(one) is not type(other))
