"""Files that are written: each is there as a whole, or as it was before."""

from __future__ import annotations

import os
from pathlib import Path

from policyd.errors import EnvironmentRefused


def write_file(directory: Path, name: str, text: str) -> Path:
    """Write a file of a directory, which is made if it is not there; its path. Raises EnvironmentRefused."""
    path = directory / name
    unfinished = directory / f".policyd-{os.getpid()}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        try:
            unfinished.write_text(text, encoding="utf-8")
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise EnvironmentRefused(
            f"{path} cannot be written: {(error.strerror or str(error)).lower()}"
        ) from error
    return path
