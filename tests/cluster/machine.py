"""A machine: network, mount, PID and host-name namespaces that live exactly as long as their owner.

The machine's first process reads from a pipe that the test process holds. When that ends, however it ends,
the read returns, the first process exits, and the kernel kills every process of the machine and drops its
mounts and interfaces. Nothing of a machine has a name outside of it.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from tests.cluster.failures import ClusterFailed, tail
from tests.cluster.requirements import SYSTEM_PATH

MARKER = "policyd-cluster-machine"
END_SECONDS = 10

Result: TypeAlias = subprocess.CompletedProcess[str]

# bash, because it collects the orphans of the machine while it reads. The path is there to be found by.
FIRST_PROCESS = """
set -eu
echo "$2" >/proc/sys/kernel/hostname
ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward
echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
{preparation}
echo ready
while read -r _; do :; done
"""


class Machine:
    """Namespaces with a name, a folder and processes; it can end and start again, as by a power cut."""

    def __init__(self, name: str, path: Path, *, preparation: str = "") -> None:
        self.name = name
        self.path = path
        self.log = path / "machine.log"
        self._script = FIRST_PROCESS.format(preparation=preparation)
        self._process: subprocess.Popen[bytes] | None = None
        self._first = 0

    def start(self) -> None:
        """Make the namespaces and prepare them."""
        self.path.mkdir(exist_ok=True)
        script = self.path / "machine.sh"
        script.write_text(self._script)
        command = ["unshare", "--net", "--mount", "--pid", "--uts", "--fork", "--mount-proc"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "bash", str(script), MARKER, self.name, str(self.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment(),
                start_new_session=True,  # Ctrl-C is for the test process, which ends its machines in order
            )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != b"ready\n":
            self.end()
            raise ClusterFailed(f"the machine {self.name} could not be made:{tail(self.log)}")
        self._first = child_of(self._process.pid)

    def end(self) -> None:
        """End every process of the machine at once, and with them its namespaces."""
        process, self._process = self._process, None
        if process is None:
            return
        self._first = 0
        try:
            process.communicate(timeout=END_SECONDS)  # closes the pipe, and all else follows from that
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()

    @property
    def running(self) -> bool:
        """Tell whether the machine's first process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Give the process by which others name this machine's namespaces."""
        if not self._first:
            raise ClusterFailed(f"the machine {self.name} is not running")
        return self._first

    def enter(self) -> tuple[str, ...]:
        """Give the command line that runs what follows it inside the machine."""
        return ("nsenter", "--target", str(self.pid), "--net", "--mount", "--pid", "--uts", "--")

    def run(
        self,
        *command: str,
        stdin: str = "",
        seconds: float = 60,
        check: bool = True,
        env: Mapping[str, str] = {},
    ) -> Result:
        """Run a command inside the machine and give its result; `check` makes a failure an exception."""
        result = run((*self.enter(), *command), stdin=stdin, seconds=seconds, env=env)
        if check and result.returncode != 0:
            raise ClusterFailed(f"`{' '.join(command)}` on {self.name} failed: {result.stderr.strip()}")
        return result


def run(command: tuple[str, ...], *, stdin: str = "", seconds: float, env: Mapping[str, str] = {}) -> Result:
    """Run a command to its end, or kill it and all it started when the deadline passes."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=environment(env),
        start_new_session=True,  # nsenter and what it runs are one process group, across the PID namespace
    )
    try:
        out, err = process.communicate(stdin, timeout=seconds)
    except subprocess.TimeoutExpired as error:
        raise ClusterFailed(f"`{' '.join(command)}` did not end within {seconds:g} s") from error
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def environment(extra: Mapping[str, str] = {}) -> dict[str, str]:
    """Give the environment of every program: no proxy between the parts of a cluster, sbin on PATH."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.lower().endswith("_proxy") and name != "KUBECONFIG"
    }
    return {**inherited, "PATH": SYSTEM_PATH, **extra}


def is_first_process(command: list[str], run: Path) -> bool:
    """Tell by its command line whether a process holds a machine of the run with this folder."""
    return command[-3:-2] == [MARKER] and Path(command[-1]).parent == run


def child_of(pid: int) -> int:
    """Give the one child of a process that forks once, as unshare and nsenter do."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
