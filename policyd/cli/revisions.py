"""Manifests that are not in the file system: of a revision of a Git repository, or in a support bundle."""

from __future__ import annotations

import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from policyd.cli.inputs import SUFFIXES, Input, Text
from policyd.errors import Diagnostic, EnvironmentRefused
from policyd.kube.syntax import printable
from policyd.manifests.load import size_mistake

OBJECTS = "objects.json"


def read_revision(named: str) -> Iterator[Input]:
    """The manifests of `REV` or `REV:PATH`, of all folders. Raises EnvironmentRefused if git says no."""
    revision, _, path = named.partition(":")
    if revision.startswith("-"):
        raise EnvironmentRefused(f"{printable(revision)} is no revision")
    listed = _git(
        "ls-tree", "-r", "-z", "--full-tree", "--name-only", revision, "--", *([path] if path else [])
    )
    names = [name for name in listed.decode(errors="surrogateescape").split("\0") if name.endswith(SUFFIXES)]
    if not names:
        yield Diagnostic(printable(named), 0, 0, "error", f"no file in it ends in {', '.join(SUFFIXES)}")
    for name in sorted(names):
        if any(part.startswith(".") for part in PurePosixPath(name).parts):
            continue
        content = _git("cat-file", "blob", f"{revision}:{name}")
        mistake = size_mistake(content[:4096], len(content))
        place = f"{revision}:{name}"
        yield Diagnostic(printable(place), 0, 0, "error", mistake) if mistake else Text(place, content)


def _git(*arguments: str) -> bytes:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, check=False)
    except FileNotFoundError:
        raise EnvironmentRefused("--git needs the program git, which is not installed here") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["it gave no reason"]
        raise EnvironmentRefused(printable(f"git cannot read that: {said[-1]}"))
    return done.stdout


def read_bundle(path: str) -> Iterator[Input]:
    """The objects of a support bundle."""
    name = printable(f"{path}:{OBJECTS}")
    try:
        with tarfile.open(Path(path)) as bundle:
            for member in bundle:
                if member.isfile() and PurePosixPath(member.name).name == OBJECTS:
                    mistake = size_mistake(b"{", member.size)
                    stream = bundle.extractfile(member)
                    if mistake is not None or stream is None:
                        yield Diagnostic(name, 0, 0, "error", mistake or "cannot be read")
                    else:
                        yield Text(f"{path}:{OBJECTS}", stream.read())
                    return
        yield Diagnostic(printable(path), 0, 0, "error", f"no support bundle: it holds no {OBJECTS}")
    except FileNotFoundError:
        yield Diagnostic(printable(path), 0, 0, "error", "there is no such file")
    except (OSError, tarfile.TarError, EOFError) as error:
        yield Diagnostic(printable(path), 0, 0, "error", printable(f"cannot be read as a bundle: {error}"))
