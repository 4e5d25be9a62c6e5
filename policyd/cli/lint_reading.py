"""What `policyd lint` reads: the settings of the repository, and files; and what `--fix` writes."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import assert_never

from policyd.cli.files import replace_file
from policyd.cli.inputs import Text, read_inputs
from policyd.errors import BadInput, Diagnostic, EnvironmentRefused, WrongUsage
from policyd.lint.finding import Edit, Report
from policyd.lint.fix import fix
from policyd.lint.gather import Input
from policyd.lint.settings import NAME, NONE, Settings, read_settings
from policyd.manifests.single import MAX_LENGTH

#: Where a repository ends: settings of a folder above are not its own.
_ROOTS = (".git", ".hg", ".svn")


def load_settings(named: str | None) -> Settings:
    """The settings of a file that is named, else of `.policyd.yaml` here or above, in the repository.

    Raises BadInput, and EnvironmentRefused if it cannot be read.
    """
    path = Path(named) if named is not None else _find(Path.cwd())
    if path is None:
        return NONE
    try:
        with path.open("rb") as stream:
            text = stream.read(MAX_LENGTH + 1)
    except OSError as error:
        raise EnvironmentRefused(
            f"{path} cannot be read: {(error.strerror or str(error)).lower()}"
        ) from error
    return read_settings(text, os.path.relpath(path) if named is None else named)


def _find(here: Path) -> Path | None:
    for folder in (here, *here.parents):
        if (folder / NAME).is_file():
            return folder / NAME
        if any((folder / root).exists() for root in _ROOTS):
            return None
    return None


def read_files(arguments: Iterable[str], exclude: tuple[str, ...]) -> Iterator[Input]:
    """The texts of files, and of directories with their folders. BadInput for what cannot be read."""
    refused: list[Diagnostic] = []
    named: set[str] = set()
    for argument in arguments:
        directory = argument != "-" and os.path.isdir(argument)  # noqa: PTH112 unlike Path's, it never raises
        for item in read_inputs(argument, recursive=True):
            match item:
                case Diagnostic():
                    refused.append(item)
                case Text(name, content):
                    if name in named or (directory and _is_excluded(name, argument, exclude)):
                        continue
                    named.add(name)
                    yield Input(name, content, directory)
                case _:
                    assert_never(item)
    if refused:
        raise BadInput(tuple(sorted(refused)))


def read_others(inputs: Iterable[Text | Diagnostic]) -> Iterator[Input]:
    """The same of texts that are no files, such as those of a revision."""
    refused: list[Diagnostic] = []
    for item in inputs:
        match item:
            case Diagnostic():
                refused.append(item)
            case Text(name, content):
                yield Input(name, content, found=True)
    if refused:
        raise BadInput(tuple(sorted(refused)))


def _is_excluded(name: str, directory: str, patterns: tuple[str, ...]) -> bool:
    inside = os.path.relpath(name, directory)
    return any(fnmatch(name, p) or fnmatch(inside, p) or fnmatch(Path(name).name, p) for p in patterns)


def fix_files(report: Report, texts: dict[str, bytes]) -> tuple[int, int]:
    """Make the edits of a report in its files: how many were made, and how many were not.

    Raises WrongUsage for standard input, and EnvironmentRefused if a file cannot be written, or is not what
    was read any more.
    """
    edits: dict[str, list[Edit]] = {}
    for finding in report.findings:
        if finding.suggestion is not None and finding.suggestion.edit is not None:
            edits.setdefault(finding.file, []).append(finding.suggestion.edit)
    made = left = 0
    for file, wanted in sorted(edits.items()):
        path = Path(file)
        if file not in texts or not _is_file(path):
            raise WrongUsage(f"--fix writes files, and {file} is none")
        fixed = fix(file, texts[file], wanted)
        if fixed.made:
            _write(path, texts[file], fixed.text)
        made += len(fixed.made)
        left += len(fixed.left)
    return made, left


def _write(path: Path, before: bytes, after: bytes) -> None:
    """Write a file again, with the mode that it has, unless somebody else has written it meanwhile."""
    path = path.resolve()  # a link stays one
    try:
        unchanged, mode = path.read_bytes() == before, stat.S_IMODE(path.stat().st_mode)
        if not unchanged:
            raise EnvironmentRefused(f"{path} has changed since it was read: nothing was written to it")
        replace_file(path, after)
        path.chmod(mode)
    except OSError as error:
        raise EnvironmentRefused(
            f"{path} cannot be written: {(error.strerror or str(error)).lower()}"
        ) from error


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False
