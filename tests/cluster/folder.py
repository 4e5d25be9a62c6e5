"""The folder of one run: its files, the lock that says it lives, and the removal of what dead runs left.

Everything else of a run is held by its processes: namespaces, mounts and interfaces go with them. So what a
killed run can leave is a folder, and control groups that bear the folder's name.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from policyd.errors import EnvironmentRefused
from tests.cluster.cgroups import cgroup_name, remove_cgroup
from tests.cluster.failures import ClusterFailed
from tests.cluster.machine import is_first_process

REMOVE_SECONDS = 10


class RunFolder:
    """A folder that belongs to this process, as long as it lives: the kernel drops the lock with it."""

    def __init__(self, path: Path, lock: TextIO) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def create(cls) -> RunFolder:
        """Make the folder of a new run, after removing what dead runs left."""
        sweep()
        home = _home()
        with _exclusively(home):
            path = Path(tempfile.mkdtemp(prefix="run-", dir=home))
            lock = (path / "lock").open("w")
            fcntl.flock(lock, fcntl.LOCK_EX)
        return cls(path, lock)

    def remove(self) -> None:
        """Remove the folder; the processes of the run must have ended."""
        # Once its lock is removed, a sweep would take the folder for dead, and remove it, too.
        with _exclusively(self.path.parent):
            _remove(self.path)
        self._lock.close()


def runs() -> list[Path]:
    """List the folders of all runs, living and dead."""
    return sorted(_home().glob("run-*"))


def sweep() -> list[Path]:
    """Remove what runs left whose process is dead, and only that; give the folders that were removed."""
    removed = []
    with _exclusively(_home()):
        for path in runs():
            with (path / "lock").open("a") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                _remove(path)
                removed.append(path)
    return removed


def _home() -> Path:
    home = Path(tempfile.gettempdir()) / "policyd-cluster"
    with contextlib.suppress(FileExistsError):
        home.mkdir(mode=0o700)  # whoever reads the keys in it can do on this machine what root can
    if home.is_symlink() or (found := home.stat()).st_uid != os.geteuid() or found.st_mode & 0o077:
        raise EnvironmentRefused(f"{home} must be a directory that only this user can enter; remove it")
    return home


@contextmanager
def _exclusively(home: Path) -> Iterator[None]:
    """Let no other process create or sweep: between its making and its locking a folder looks dead."""
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _remove(path: Path) -> None:
    _kill_remaining(path)
    remove_cgroup(cgroup_name(path))
    deadline = time.monotonic() + REMOVE_SECONDS
    while path.exists():
        try:
            shutil.rmtree(path)
        except OSError as error:  # a daemon of a killed run may write until it, too, has ended
            if time.monotonic() > deadline:
                raise ClusterFailed(f"{path} cannot be removed: {error.strerror}") from error
            time.sleep(0.02)


def _kill_remaining(path: Path) -> None:
    """End the machines of a run that outlived it, as when a fork of the test process held their pipe open."""
    deadline = time.monotonic() + REMOVE_SECONDS
    while pids := [pid for pid in _processes() if is_first_process(_command_line(pid), path)]:
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if time.monotonic() > deadline:
            raise ClusterFailed(f"processes of {path} do not end: {pids}")
        time.sleep(0.02)


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def _command_line(pid: int) -> list[str]:
    try:
        return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes()).split("\0")[:-1]
    except (FileNotFoundError, ProcessLookupError):
        return []
