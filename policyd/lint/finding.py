"""What lint finds, as values: where, which rule, what to say, and the one edit that fixes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Level: TypeAlias = Literal["error", "warn", "note"]
World: TypeAlias = Literal["complete", "partial"]

#: The most serious first.
LEVELS: tuple[Level, ...] = ("error", "warn", "note")


@dataclass(frozen=True, slots=True)
class Named:
    """The object that a finding is about; `namespace` is "" where the kind has none."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


@dataclass(frozen=True, slots=True, order=True)
class Edit:
    """At a line and column (from 1, in characters) of a file stands `old`; it becomes `new`."""

    file: str
    line: int
    column: int
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What to do, in words. `replace` is what is to stand there instead, where only one edit can be meant.

    `edit` is that edit; None where it cannot be made in the text, as of objects of the API server.
    """

    text: str
    replace: str | None = None
    edit: Edit | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding. `line` and `column` count from 1; 0 for what was written nowhere.

    `path` is where in the object, such as `spec.ingress[0].from[0]`, and `message` goes on from it.
    `certain`: it holds whatever else the cluster has (see `seen.py`).
    """

    rule: str
    level: Level
    file: str
    line: int
    column: int
    object: Named
    path: str
    message: str
    suggestion: Suggestion | None = None
    certain: bool = True

    @property
    def sentence(self) -> str:
        """Object, path, message and suggestion on one line."""
        where = self.path.removeprefix("spec.")
        hint = f"; {self.suggestion.text}" if self.suggestion else ""
        return f"{self.object} {where + ' ' if where else ''}{self.message}{hint}"


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Sorted by file, line, column and rule, each once."""
    return tuple(
        sorted(
            dict.fromkeys(findings),
            key=lambda f: (f.file, f.line, f.column, f.rule, str(f.object), f.path, f.message),
        )
    )


@dataclass(frozen=True, slots=True)
class Report:
    """All findings in order, and what was looked at.

    `world` is partial if pods may exist that were not seen, for the reasons in `partial`. `policies`:
    how many were read. `skipped`: files of directories that hold no objects. `ignored`: findings that a
    comment, an annotation or a flag switched off. `places`: file, line and column of what rules found
    that reading tells of, too, whether it is ignored or not.
    """

    world: World
    findings: tuple[Finding, ...]
    policies: int
    skipped: int = 0
    ignored: int = 0
    partial: tuple[str, ...] = field(default=())
    places: frozenset[tuple[str, int, int]] = field(default=frozenset(), repr=False)

    def count(self, level: Level) -> int:
        """How many findings have this level."""
        return Counter(finding.level for finding in self.findings)[level]

    def fails(self, at: Level | None) -> bool:
        """Whether any finding has this level or a more serious one; None: nothing fails."""
        failing: Sequence[Level] = () if at is None else LEVELS[: LEVELS.index(at) + 1]
        return any(finding.level in failing for finding in self.findings)
