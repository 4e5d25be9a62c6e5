"""How findings are switched off where they are: `# policyd: ignore NP102 reason`, or an annotation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from policyd.kube.objects import LINT_IGNORE
from policyd.lint.drafts import mapping

#: Line → the rules that are switched off there.
IgnoredLines: TypeAlias = Mapping[int, frozenset[str]]
_IDS = r"NP[0-9]{3}(?:[ \t]*,?[ \t]*NP[0-9]{3})*"
_COMMENT = re.compile(rf"(?:^|[ \t])#[ \t]*policyd:[ \t]*ignore[ \t]+({_IDS})(?![0-9A-Za-z])")
_BEGINNING = re.compile(rf"\s*({_IDS})(?![0-9A-Za-z])")
_ID = re.compile(r"NP[0-9]{3}")
_WORD = b"policyd:"


def ignored_lines(text: bytes) -> dict[int, frozenset[str]]:
    """Line → the rules that a comment switches off there: on the line itself, or alone on the line above.

    Several lines of comments in a row count for the line behind them.
    """
    if _WORD not in text:
        return {}
    found: dict[int, frozenset[str]] = {}
    waiting: frozenset[str] = frozenset()
    for number, line in enumerate(text.decode(errors="replace").split("\n"), start=1):
        match = _COMMENT.search(line)
        here = frozenset(_ID.findall(match[1])) if match else frozenset()
        if line.lstrip().startswith("#"):
            waiting |= here
        else:
            if waiting | here:
                found[number] = waiting | here
            waiting = frozenset()
    return found


def ignored_in(raw: Mapping[str, object]) -> frozenset[str]:
    """The rules that the annotation of an object switches off: `NP102, NP104 reason`."""
    text = mapping(mapping(raw.get("metadata")).get("annotations")).get(LINT_IGNORE)
    return ignored_by(text) if isinstance(text, str) else frozenset()


def ignored_by(text: str) -> frozenset[str]:
    """The rules that the text of the annotation switches off."""
    match = _BEGINNING.match(text)
    return frozenset(_ID.findall(match[1])) if match else frozenset()


def unknown_rules(lines: Mapping[int, Iterable[str]], known: Iterable[str]) -> list[tuple[int, str]]:
    """Line and id of what comments switch off and is no rule."""
    rules = frozenset(known)
    return [(line, name) for line, names in sorted(lines.items()) for name in sorted(set(names) - rules)]
