"""The last good ruleset on disk: what a node enforces after a reboot until it knows the cluster.

One file for each table, replaced as a whole. What is torn, somebody else's, or not what policyd prints is
not used: the parser takes nothing but our own grammar, so a file can at most hold another ruleset of ours.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from policyd_compiler.nft.ast import Table
from policyd_compiler.nft.parser import ParseError, parse_replace
from policyd_compiler.nft.printer import print_replace
from policyd_compiler.nft.stamp import stamp, unstamp

log = logging.getLogger(__name__)

#: A ruleset for 10 000 pods has half a MiB.
MAX_BYTES = 256 << 20
_HEAD = re.compile(r"# policyd state 1\n# node ([^\n]*)\n# sha256 ([0-9a-f]{64})\n")


class BadState(Exception):
    """There is a state file that cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Saved:
    """A ruleset as it was in force, and its generation."""

    table: Table
    generation: int


def state_file(directory: Path, table: str) -> Path:
    """Where the ruleset of a table is kept."""
    return directory / f"{table}.nft"


def save_state(path: Path, node: str, saved: Saved) -> None:
    """Replace the file by this ruleset, so that it is there whole after a crash. Raises OSError."""
    body = print_replace(stamp(saved.table, saved.generation))
    digest = hashlib.sha256(f"{node}\n{body}".encode()).hexdigest()
    draft = path.with_suffix(".tmp")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Not over another's file, and not through a link that somebody put there.
    draft.unlink(missing_ok=True)
    opened = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(opened, "w", encoding="utf-8") as file:
            file.write(f"# policyd state 1\n# node {node}\n# sha256 {digest}\n{body}")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def load_state(path: Path, node: str, table: str) -> Saved | None:
    """The saved ruleset; None if there is none. Raises BadState for one that cannot be used."""
    text = _read(path)
    if text is None:
        return None
    head = _HEAD.match(text)
    if head is None:
        raise BadState("it does not begin as a state file does")
    body = text[head.end() :]
    if head[1] != node:
        raise BadState(f"it is of the node {head[1]}")
    if hashlib.sha256(f"{node}\n{body}".encode()).hexdigest() != head[2]:
        raise BadState("it is torn: its checksum is another")
    try:
        found = parse_replace(body)
    except (ParseError, ValueError) as error:
        raise BadState(f"it is no ruleset of policyd: {error}") from error
    if found.name != table:
        raise BadState(f"it is of the table {found.name}")
    return Saved(*unstamp(found))


def _read(path: Path) -> str | None:
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadState(f"it cannot be opened: {error.strerror}") from error
    with os.fdopen(opened, "rb") as file:
        status = os.fstat(opened)
        if not stat.S_ISREG(status.st_mode):
            raise BadState("it is no file")
        if status.st_uid != os.geteuid() or status.st_mode & 0o022:
            raise BadState("others than its owner may write it, or it is somebody else's")
        if status.st_size > MAX_BYTES:
            raise BadState(f"it is longer than {MAX_BYTES >> 20} MiB")
        try:
            return file.read(MAX_BYTES).decode()
        except (OSError, UnicodeDecodeError) as error:
            raise BadState(f"it cannot be read: {error}") from error
