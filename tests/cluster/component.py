"""A component of a cluster: a program with a log that runs on a machine until it is stopped.

A component that ended although nobody stopped it is a failure, and `check` says which and shows its log.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from socket import socket

from tests.cluster.failures import ClusterFailed, tail
from tests.cluster.machine import Machine, child_of, environment

STOP_SECONDS = 10


class Component:
    """One program of a cluster, under the control of a test: start, stop, kill, pause, restart."""

    def __init__(
        self,
        machine: Machine,
        name: str,
        command: tuple[str, ...],
        log: Path,
        *,
        env: Mapping[str, str] = {},
        inherit: socket | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self.command = command
        self._machine = machine
        self._environment = environment(env)
        self._inherit = inherit
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the program; its log goes on where it ended."""
        if self._process is not None:
            self.check()
            return
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._machine.enter(), *self.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                pass_fds=[self._inherit.fileno()] if self._inherit else [],
                start_new_session=True,
            )

    def stop(self) -> None:
        """Ask the program to end, and kill it if it does not."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the program without warning."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop the program and start it again."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Make the program hang: its connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused program go on."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGCONT)  # nsenter stops with its child, and goes on with it

    @property
    def running(self) -> bool:
        """Tell whether the program runs."""
        return self._process is not None and self._process.poll() is None

    def check(self) -> None:
        """Raise if the program ended by itself."""
        if self._process is not None and (status := self._process.poll()) is not None:
            raise ClusterFailed(f"{self.name} ended by itself with status {status}:{tail(self.log)}")

    def forget(self) -> None:
        """Collect the program after its machine has ended."""
        process, self._process = self._process, None
        if process is not None:
            process.wait(STOP_SECONDS)

    def _end(self, number: signal.Signals) -> None:
        process = self._process
        if process is None:
            return
        try:
            self._signal(number)
            self.resume()  # a paused program would not notice
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._process = None

    def _signal(self, number: signal.Signals) -> None:
        """Signal the program itself: nsenter, which is our child, hands nothing on but its exit status."""
        process = self._process
        if process is None:
            raise ClusterFailed(f"{self.name} is not running")
        while process.poll() is None:
            try:
                os.kill(child_of(process.pid), number)
            except (IndexError, FileNotFoundError, ProcessLookupError):
                time.sleep(0.005)  # not forked yet, or ended just now: the next round knows which
            else:
                return
