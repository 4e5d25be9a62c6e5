"""Nothing of a run outlives it, however it ends, and a run that lives is left alone."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster import cgroups, folder
from tests.cluster.client import Client
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


def processes_of(path: Path, namespaces: frozenset[Path] = frozenset()) -> set[Path]:
    """List the processes of a run: by command line, by control group, by PID namespace."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # ended in the meantime, or the kernel does not tell
            command = os.fsencode(path) in (process / "cmdline").read_bytes()
            group = cgroups.cgroup_name(path) in (process / "cgroup").read_text()
            if command or group or (process / "ns/pid").readlink() in namespaces:
                found.add(process)
    return found


def namespaces_of(path: Path) -> frozenset[Path]:
    """List the PID namespaces of a run; those of its pods are below them, and end with them."""
    own = Path("/proc/self/ns/pid").readlink()
    return frozenset({(process / "ns/pid").readlink() for process in processes_of(path)} - {own})


def groups_of(path: Path) -> list[Path]:
    """List the topmost control groups of a run."""
    return [*cgroups.TOP.glob(f"*{path.name}*"), *cgroups.TOP.glob(f"*/*{path.name}*")]


def nothing() -> None:
    """Check nothing while waiting."""


def test_a_killed_run_leaves_only_a_folder_and_the_next_run_removes_it() -> None:
    with other_run() as (process, path, _):
        namespaces = namespaces_of(path)
        assert len(processes_of(path, namespaces)) >= 3  # unshare, its shell, the daemon
        process.send_signal(signal.SIGKILL)
        process.wait()
        ended = "the run's processes did not end"
        wait_until(lambda: processes_of(path, namespaces) == set(), ended, seconds=10, check=nothing)
        assert path.is_dir()
        folder.RunFolder.create().remove()
        assert not path.exists()


def test_a_living_run_is_left_alone() -> None:
    with other_run() as (process, path, pid):
        assert path not in folder.sweep()
        assert path.is_dir()
        assert Path(f"/proc/{pid}").exists()
        assert process.poll() is None


def test_a_run_is_not_swept_while_its_owner_removes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    run = folder.RunFolder.create()
    home = run.path.parent / "lock"
    with home.open() as sweeping, ThreadPoolExecutor() as pool:
        fcntl.flock(sweeping, fcntl.LOCK_EX)
        removal = pool.submit(run.remove)
        waiter = re.compile(rf"-> FLOCK .*:{home.stat().st_ino} ")
        wait_until(
            lambda: removal.done() or waiter.search(Path("/proc/locks").read_text()) is not None,
            "the owner neither waits nor removes",
            seconds=10,
            check=nothing,
        )
        assert not removal.done()
        fcntl.flock(sweeping, fcntl.LOCK_UN)
        removal.result(timeout=10)
    assert folder.runs() == []


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
    name = cgroups.cgroup_name(run.path)
    cgroups.make_cgroup(f"{name}/n1")
    made = groups_of(run.path)
    assert made
    for group in made:
        (group / "n1" / "pod").mkdir()
    run.remove()
    assert groups_of(run.path) == []


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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_of_a_cluster_with_pods_outlives_it(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "tests.cluster", "up", "--network", "ptp"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            path = start_a_pod(process)
            namespaces = namespaces_of(path)
            assert len(namespaces) >= 5  # three machines, a pod and its pause
            process.send_signal(number)
            process.wait(30)
        finally:
            process.kill()
    ended = "the cluster's processes did not end"
    wait_until(lambda: processes_of(path, namespaces) == set(), ended, seconds=10, check=nothing)
    assert path.exists() is (number == signal.SIGKILL)
    folder.sweep()
    assert not path.exists()
    assert groups_of(path) == []


def start_a_pod(process: subprocess.Popen[str]) -> Path:
    """Read what `up` says, start a pod in that cluster, and give the cluster's folder."""
    assert process.stdout is not None
    lines = iter(process.stdout.readline, "Ctrl-C removes everything.\n")
    said = dict(word.split("=", 1) for line in lines for word in line.split() if "=" in word)
    client = Client(Path(said["KUBECONFIG"]), agnhost=said["POLICYD_AGNHOST"])
    client.kubectl("run", "pod", f"--image={client.agnhost}", "--", "netexec")
    client.wait("pod/pod")
    return client.kubeconfig.parent
