"""What can go wrong, as values and as exceptions. Imports nothing of ours."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal


class Exit(IntEnum):
    """Exit codes of every command."""

    OK = 0
    FINDING = 1
    USAGE = 2
    BAD_INPUT = 3
    ENVIRONMENT = 4
    BUG = 70


@dataclass(frozen=True, slots=True, order=True)
class Diagnostic:
    """One thing to report: where (file, line, column from 1; 0 when unknown), what, and what to do."""

    file: str
    line: int
    column: int
    severity: Literal["error", "warning"]
    text: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {self.severity}: {self.text}"


class PolicydError(Exception):
    """A failure with a sentence for a person; `exit_code` is what a command returns for it."""

    exit_code = Exit.ENVIRONMENT


class BadInput(PolicydError):
    """The YAML given is wrong. Carries every mistake found, not only the first."""

    exit_code = Exit.BAD_INPUT

    def __init__(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        super().__init__("\n".join(map(str, diagnostics)))
        self.diagnostics = diagnostics


class BadFlags(BadInput):
    """The same of a command line: nothing but flags is wrong."""

    exit_code = Exit.USAGE


class EnvironmentRefused(PolicydError):
    """The kernel, a missing program or a missing permission said no."""


class WrongUsage(PolicydError):
    """The flags given make no sense together, or with what was read."""

    exit_code = Exit.USAGE
