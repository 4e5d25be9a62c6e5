"""The project's own files, as tests look at them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def python_files(*roots: str) -> list[Path]:
    return sorted(
        path for root in roots for path in (ROOT / root).rglob("*.py") if "__pycache__" not in path.parts
    )


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tracked_files() -> list[Path]:
    """List what git tracks; in an exported tree, which has no git, everything that is not hidden."""
    if (ROOT / ".git").exists():
        # The clone may belong to another user than the one who tests, which git would otherwise refuse.
        command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"]
        listing = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        paths = [ROOT / name for name in listing.split("\0") if name]
    else:
        paths = [path for path in ROOT.rglob("*") if not any(p.startswith(".") for p in path.parts)]
    return [path for path in paths if path.is_file()]


def tracked_text() -> Iterator[tuple[Path, str]]:
    for path in tracked_files():
        try:
            yield path, path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture or a recording of a terminal
