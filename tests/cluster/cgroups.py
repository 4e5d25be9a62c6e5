"""The control groups of a run's pods: made before kubelet asks for them, removed when all pods have ended.

Unlike all else of a run they are not held by its processes, so they bear the name of its folder.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from tests.cluster.failures import ClusterFailed

TOP = Path("/sys/fs/cgroup")
CONTROLLERS = frozenset({"cpu", "cpuset", "hugetlb", "memory", "pids"})  # that kubelet asks for
REMOVE_SECONDS = 10


def cgroup_name(run: Path) -> str:
    """Name the control group of the run with this folder."""
    return f"policyd-cluster-{run.name}"


def make_cgroup(name: str) -> None:
    """Make a control group in every hierarchy, with the controllers that kubelet wants."""
    for hierarchy in _hierarchies():
        group = hierarchy
        for part in Path(name).parts:
            _hand_down_controllers(group)
            group /= part
            group.mkdir(exist_ok=True)
        _hand_down_controllers(group)


def remove_cgroup(name: str) -> None:
    """Remove a control group and those below it; their processes must have ended."""
    for hierarchy in _hierarchies():
        for directory, _, _ in os.walk(hierarchy / name, topdown=False):
            _remove(Path(directory))


def _hierarchies() -> list[Path]:
    """List the mounted hierarchies: one at the top (version 2), or one for each controller (version 1)."""
    return [path for path in (TOP, *sorted(TOP.iterdir())) if (path / "cgroup.procs").exists()]


def _hand_down_controllers(group: Path) -> None:
    controllers = group / "cgroup.controllers"
    if controllers.exists():
        wanted = CONTROLLERS.intersection(controllers.read_text().split())
        (group / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in sorted(wanted)))


def _remove(group: Path) -> None:
    # The kernel counts a process as a member until it has been reaped, a moment after it was killed.
    deadline = time.monotonic() + REMOVE_SECONDS
    while True:
        try:
            group.rmdir()
        except FileNotFoundError:
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise ClusterFailed(
                    f"the control group {group} cannot be removed: {error.strerror}"
                ) from error
            time.sleep(0.02)
        else:
            return
