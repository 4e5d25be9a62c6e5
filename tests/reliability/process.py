"""An agent as a process, killed and started again, and what it takes of the machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.agent.agents import command
from tests.support.waiting import DEADLINE, until

LEAST_PRIORITY = 19


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a process holds. `memory` is resident, in MiB; a zombie is a child that nobody took."""

    memory: float
    files: int
    threads: int
    children: int
    zombies: int


def processor_seconds(pid: int) -> float:
    """What a process and its children that live, such as the worker, have taken of processors so far.

    But for what has the least priority, a proof: it waits for everything else, and is bounded by itself.
    """
    found = 0
    for each in (pid, *children_of(pid)):
        fields = _read(Path(f"/proc/{each}/stat")).rpartition(")")[2].split()
        # `utime`, `stime` and `nice` are the 14th, 15th and 19th field.
        if int(fields[16]) < LEAST_PRIORITY:
            found += sum(map(int, fields[11:13]))
    return found / os.sysconf("SC_CLK_TCK")


def children_of(pid: int) -> list[int]:
    """The child processes of all its threads."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(text) for text in _read(task).split()]
    return found


class Process:
    """`policyd run` with these arguments, in the network namespace of the thread that starts it."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._log = folder / "agent.log"
        self._log.touch()
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None
        self.starts = self._before = 0

    def start(self) -> None:
        """Start it; what was killed goes on as another process."""
        self._before = self._log.stat().st_size
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command("run", *self._arguments), stderr=log)
        self.starts += 1

    @property
    def pid(self) -> int:
        return self._running.pid

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "it was never started"
        return self._process

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def enforces(self) -> bool:
        """Whether it has said in this life that its ruleset is in force."""
        return b"ruleset in force" in self._log.read_bytes()[self._before :]

    def wait_until_it_enforces(self) -> None:
        """Wait as long as a busy machine may need to start it."""

        def holds() -> bool:
            assert self.runs, self.told()[-4000:]
            return self.enforces

        until(holds, lambda: self.told()[-4000:])

    def kill(self, number: int = signal.SIGKILL) -> int:
        """End it with a signal; its exit code, negative for a signal."""
        self._running.send_signal(number)
        return self.wait()

    def wait(self, seconds: float = DEADLINE) -> int:
        """Its exit code, once it has ended."""
        return self._running.wait(seconds)

    def close(self) -> None:
        """End it if it runs."""
        if self.runs:
            self.kill()

    def children(self) -> list[int]:
        """Its child processes; while it is at rest that is the worker, if any."""
        return children_of(self.pid)

    def footprint(self) -> Footprint:
        """What it holds now."""
        root = Path(f"/proc/{self.pid}")
        status = dict(line.split(":\t", 1) for line in _read(root / "status").splitlines() if ":\t" in line)
        children = self.children()
        states = [_read(Path(f"/proc/{child}/stat")).rpartition(")")[2].split()[:1] for child in children]
        return Footprint(
            int(status["VmRSS"].split()[0]) / 1024,
            len(list((root / "fd").iterdir())),
            int(status["Threads"]),
            len(children),
            states.count(["Z"]),
        )

    def log(self) -> list[dict[str, object]]:
        """What all its lives have logged, a mapping for each line."""
        lines = self._log.read_text(errors="replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def says(self, sentence: str) -> list[dict[str, object]]:
        """The log lines that begin so."""
        return [line for line in self.log() if str(line["msg"]).startswith(sentence)]

    def told(self) -> str:
        """All that went to standard error."""
        return self._log.read_text(errors="replace")


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
