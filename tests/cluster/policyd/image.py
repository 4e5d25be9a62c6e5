"""The image as `make image` makes it, made once for a state of the sources and kept for the next run."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

from policyd.errors import EnvironmentRefused

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "dist" / "test"
#: What scripts/image puts into the image, and what decides how.
SOURCES = (
    "LICENSE*",
    "compiler",
    "deploy/Dockerfile",
    "deploy/requirements.lock",
    "policyd",
    "pyproject.toml",
)
BUILD_SECONDS = 1200


def image_archive() -> Path:
    """Give the archive of the image: POLICYD_IMAGE, or else that of these sources, built if need be."""
    if chosen := os.environ.get("POLICYD_IMAGE"):
        if not Path(chosen).is_file():
            raise EnvironmentRefused(f"POLICYD_IMAGE names {chosen}, and there is no such file")
        return Path(chosen).absolute()
    archive = FOLDER / f"policyd-{_digest()}.tar"
    if not archive.exists():
        for old in FOLDER.glob("policyd-*.tar"):
            old.unlink()
        result = subprocess.run(
            ["nice", str(ROOT / "scripts" / "image"), str(archive)],
            stderr=subprocess.PIPE,
            text=True,
            timeout=BUILD_SECONDS,
            check=False,
        )
        if result.returncode != 0:
            raise EnvironmentRefused(f"`make image` failed:\n{result.stderr.strip()}")
    return archive


def _digest() -> str:
    listing = subprocess.run(
        ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z", "--", *SOURCES, "scripts/image"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    digest = hashlib.sha256()
    for path in (ROOT / name for name in sorted(filter(None, listing.split("\0")))):
        content = path.read_bytes() if path.exists() else b""  # scripts/image says what it misses
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + content + b"\0")
    return digest.hexdigest()[:12]
