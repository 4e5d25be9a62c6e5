"""What `-f` names → texts, as kubectl finds them; no more of a file is read than can be used."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias

from policyd.errors import Diagnostic
from policyd.kube.syntax import printable
from policyd.manifests.load import size_mistake

STDIN = "<stdin>"
SUFFIXES = (".yaml", ".yml", ".json")
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Text:
    """The content of a file, and its name as messages have it."""

    name: str
    content: bytes


Input: TypeAlias = Text | Diagnostic


def read_inputs(argument: str, *, recursive: bool) -> Iterator[Input]:
    """What one `-f` names, one text after another; an error for what cannot be read."""
    if argument == "-":
        if sys.stdin is None:
            yield _error(STDIN, "standard input is closed")
        else:
            yield _read_stream(STDIN, sys.stdin.buffer, 0)
    elif argument and os.path.isdir(argument):  # noqa: PTH112 unlike Path's, it never raises
        yield from _read_directory(Path(argument), recursive=recursive)
    else:
        yield _read_file(Path(argument), in_directory=False) if argument else _error('""', "names no file")


def _read_directory(directory: Path, *, recursive: bool) -> Iterator[Input]:
    """Manifests by their suffix, in the order of their names. Hidden ones are locks and the like."""
    paths: list[Path] = []
    errors: list[OSError] = []
    for place, folders, names in os.walk(directory, onerror=errors.append):
        folders[:] = sorted(name for name in folders if recursive and not name.startswith("."))
        paths.extend(
            Path(place, name)
            for name in sorted(names)
            if name.endswith(SUFFIXES) and not name.startswith(".")
        )
    yield from (_error(str(error.filename), _reason(error)) for error in errors)
    if not paths and not errors:
        hint = "" if recursive else "; -R looks into its folders, too"
        yield _error(str(directory), f"no file in this directory ends in {', '.join(SUFFIXES)}{hint}")
    for path in paths:
        yield _read_file(path, in_directory=True)


def _read_file(path: Path, *, in_directory: bool) -> Input:
    name = str(path)
    try:
        status = path.stat()
        refusal = _refuse_kind(status.st_mode, in_directory=in_directory)
        if refusal is not None:
            return _error(name, refusal)
        with path.open("rb") as stream:
            return _read_stream(name, stream, status.st_size)
    except FileNotFoundError:
        if path.is_symlink():
            return _error(name, f"a symbolic link to {path.readlink()}, which is not there")
        return _error(name, "there is no such file")
    except OSError as error:
        return _error(name, _reason(error))


def _refuse_kind(mode: int, *, in_directory: bool) -> str | None:
    """Say why a file of this kind is not read. A FIFO is what a shell makes of `-f <(command)`."""
    if stat.S_ISREG(mode) or (stat.S_ISFIFO(mode) and not in_directory):
        return None
    kinds = {stat.S_IFIFO: "a FIFO", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
    return f"{kinds.get(stat.S_IFMT(mode), 'something else')}, not a file"


def _read_stream(name: str, stream: BinaryIO, expected: int) -> Input:
    """Read to the end, or until it is clear that the text is too long."""
    try:
        chunks = [stream.read(_CHUNK)]
        size = len(chunks[0])
        while (mistake := size_mistake(chunks[0], max(size, expected))) is None:
            chunk = stream.read(_CHUNK)
            if not chunk:
                return Text(name, b"".join(chunks))
            chunks.append(chunk)
            size += len(chunk)
    except OSError as error:
        return _error(name, _reason(error))
    return _error(name, mistake)


def _reason(error: OSError) -> str:
    return f"cannot be read: {(error.strerror or str(error)).lower()}"


def _error(name: str, text: str) -> Diagnostic:
    return Diagnostic(printable(name), 0, 0, "error", printable(text))
