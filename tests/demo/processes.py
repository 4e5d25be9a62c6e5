"""Demonstrations as processes among others, and a look at what they leave behind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.support.waiting import DEADLINE

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-m", "policyd", "demo")
#: The demonstration of another directory of manifests, with the expectations of our own.
OTHER = """\
import sys
from pathlib import Path
from policyd.cli import terminal
from policyd.demo.matrix import plain
from policyd.demo.scene import read_scene
from policyd.demo.screen import Screen
from policyd.demo.show import show
sys.exit(show(read_scene(Path(sys.argv[1])), Screen(terminal.write, plain, None)))
"""


@dataclass(frozen=True, slots=True)
class Demo:
    """A running demonstration; everything that descends from it carries the mark in its environment."""

    process: subprocess.Popen[str]
    mark: str
    directory: Path

    def processes(self) -> list[str]:
        """It and its descendants, as far as they run."""
        return [place.name for place in Path("/proc").glob("[0-9]*") if self._is_ours(place)]

    def namespaces(self) -> list[str]:
        """The network namespaces that it holds open, as `net:[NUMBER]`; numbers are soon used again."""
        own = Path("/proc/self/ns/net").readlink()
        links = [_target(link) for link in Path(f"/proc/{self.process.pid}/fd").iterdir()]
        return sorted({link for link in links if link.startswith("net:[") and link != str(own)})

    def namespaces_kept_by_mounts(self) -> list[str]:
        """Its namespaces that would outlive its processes, as those of `ip netns add` do."""
        mounts = Path(f"/proc/{self.process.pid}/mountinfo").read_text()
        return [name for name in self.namespaces() if name in mounts]

    def leftovers(self) -> list[str]:
        """What is left of it: processes, and with them the namespaces that no mount keeps; files."""
        files = [f"file {path.name}" for path in self.directory.iterdir()]
        return [*(f"process {name}" for name in self.processes()), *files]

    def finish(self) -> tuple[int, str, str]:
        """Wait until it ends by itself: its exit code, what it wrote, and what it said of errors."""
        out, err = self.process.communicate(timeout=DEADLINE)
        return self.process.returncode, out or "", err or ""

    def _is_ours(self, place: Path) -> bool:
        try:
            return f"DEMO_MARK={self.mark}".encode() in (place / "environ").read_bytes().split(b"\0")
        except OSError:  # it ended meanwhile, or is somebody else's
            return False


@contextmanager
def demonstration(
    directory: Path, command: Sequence[str] = COMMAND, variables: dict[str, str] | None = None, **kwargs: Any
) -> Iterator[Demo]:
    """Start one, whose temporary files go to a directory of its own; killed at the end."""
    mark, files = str(uuid4()), directory / "temporary"
    files.mkdir()
    path = os.pathsep.join((str(ROOT), str(ROOT / "compiler")))
    environment = {
        **os.environ,
        "PYTHONPATH": path,
        "TMPDIR": str(files),
        "DEMO_MARK": mark,
        **(variables or {}),
    }
    kwargs = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "start_new_session": True, **kwargs}
    with subprocess.Popen(command, env=environment, text=True, **kwargs) as process:
        try:
            yield Demo(process, mark, files)
        finally:
            process.kill()


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except FileNotFoundError:  # it was closed meanwhile
        return ""
