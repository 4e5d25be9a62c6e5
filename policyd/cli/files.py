"""Files that are written: each is there as a whole, or as it was before."""

from __future__ import annotations

import os
from pathlib import Path

from policyd.errors import EnvironmentRefused

#: What a new file may be used for, before the umask takes its part.
_EVERYBODY = 0o666
OWNER_ONLY = 0o600


def write_file(directory: Path, name: str, text: str) -> Path:
    """Write a file of a directory, which is made if it is not there; its path. Raises EnvironmentRefused."""
    path = directory / name
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _refused(path, error) from error
    replace_file(path, text.encode())
    return path


def replace_file(path: Path, content: bytes, mode: int = _EVERYBODY, hint: str = "") -> None:
    """Write all of a file or nothing. `hint` ends the sentence of EnvironmentRefused, which it raises."""
    draft = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        try:
            opened = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
            with os.fdopen(opened, "wb") as file:
                file.write(content)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise _refused(path, error, hint) from error


def _refused(path: Path, error: OSError, hint: str = "") -> EnvironmentRefused:
    reason = (error.strerror or str(error)).lower()
    return EnvironmentRefused(f"{path} cannot be written: {reason}{hint}")
