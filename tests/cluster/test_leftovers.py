"""Nothing of a run outlives it, however it ends, and a run that lives is left alone."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster import folder
from tests.cluster.failures import wait_until
from tests.cluster.machine import Machine

ROOT = Path(__file__).parents[2]
MAKE_A_MACHINE = """
import sys, time
from tests.cluster.folder import RunFolder
from tests.cluster.machine import Machine
run = RunFolder.create()
machine = Machine("m", run.path / "m")
machine.start()
machine.run("sh", "-c", "sleep 1000 >/dev/null 2>&1 &")
print(run.path, machine.pid, flush=True)
time.sleep(1000)
"""

pytestmark = pytest.mark.cluster


@contextmanager
def other_run() -> Iterator[tuple[subprocess.Popen[str], Path, int]]:
    """Give a process that owns a machine with a daemon in it, its folder, and the machine's first process."""
    command = [sys.executable, "-c", MAKE_A_MACHINE]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            path, pid = process.stdout.readline().split()
            yield process, Path(path), int(pid)
        finally:
            process.kill()


def processes_of(path: Path, namespace: Path) -> list[str]:
    """List the processes whose command line names this folder, or that are in this PID namespace."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # ended in the meantime, or the kernel does not tell
            named = os.fsencode(path) in (process / "cmdline").read_bytes()
            if named or (process / "ns/pid").readlink() == namespace:
                found.append(process.name)
    return found


def nothing() -> None:
    """Check nothing while waiting."""


def test_a_killed_run_leaves_only_a_folder_and_the_next_run_removes_it() -> None:
    with other_run() as (process, path, pid):
        namespace = Path(f"/proc/{pid}/ns/pid").readlink()
        assert len(processes_of(path, namespace)) >= 3  # unshare, its shell, the daemon
        process.send_signal(signal.SIGKILL)
        process.wait()
        ended = "the run's processes did not end"
        wait_until(lambda: processes_of(path, namespace) == [], ended, seconds=10, check=nothing)
        assert path.is_dir()
        folder.RunFolder.create().remove()
        assert not path.exists()


def test_a_living_run_is_left_alone() -> None:
    with other_run() as (process, path, pid):
        assert path not in folder.sweep()
        assert path.is_dir()
        assert Path(f"/proc/{pid}").exists()
        assert process.poll() is None


def test_a_machine_that_outlived_its_run_is_found_and_ended() -> None:
    """As when a fork of the test process still holds the machine's pipe."""
    run = folder.RunFolder.create()
    machine = Machine("m", run.path / "m")
    machine.start()
    run.remove()
    assert not run.path.exists()
    assert not machine.running
    machine.end()


def test_control_groups_of_a_run_are_removed() -> None:
    run = folder.RunFolder.create()
    tops = [top for top in (folder.CGROUPS, *folder.CGROUPS.iterdir()) if (top / "cgroup.procs").exists()]
    inner = [top / run.cgroup / "n1" / "pod" for top in tops]
    for group in inner:
        group.mkdir(parents=True)
    run.remove()
    assert [group for group in inner if group.parents[1].exists()] == []


def test_a_machine_hands_on_exit_status_and_output() -> None:
    run = folder.RunFolder.create()
    machine = Machine("m", run.path / "m")
    try:
        machine.start()
        result = machine.run("sh", "-c", "hostname; exit 3", check=False)
        assert (result.stdout, result.returncode) == ("m\n", 3)
        assert machine.run("cat", stdin="through").stdout == "through"
    finally:
        machine.end()
        run.remove()
