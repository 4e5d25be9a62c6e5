"""The real agent, `policyd run`, as a child process in a network namespace. It does not outlive its parent.

Must not know anything of the agent but its command line and its HTTP server.
"""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from policyd.errors import EnvironmentRefused
from policyd.lab.namespace import Namespace, require_program

PORT = 9471
#: A start takes a second; a machine that is very busy may need many.
START_SECONDS = 30.0
STOP_SECONDS = 5.0
_POLL_SECONDS = 0.02


class Agent:
    """An agent that enforces a directory in a namespace, from `with` to the end of the block."""

    def __init__(self, namespace: Namespace, manifests: Path, node: str) -> None:
        """Start it; `wait_until_ready` says when it has brought its first ruleset into force."""
        require_program("setpriv")
        command = [
            *("setpriv", "--pdeathsig", "KILL", "--"),  # a killed parent has no other way to end it
            *(sys.executable, "-P", "-m", "policyd", "run"),
            *("--node", node, "--manifests", str(manifests), "--listen", f"127.0.0.1:{PORT}", "--run-dir="),
            *("--log-level", "warning", "--log-format", "human"),
        ]
        self._namespace = namespace
        self._began = time.monotonic()
        with namespace.entered():
            # In a session of its own, because a Ctrl-C at the terminal is for its parent to handle.
            self._process = subprocess.Popen(
                command,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def wait_until_ready(self) -> float:
        """Wait until a ruleset is in force; the seconds since the start. Raises EnvironmentRefused."""
        while not self._is_ready():
            waited = time.monotonic() - self._began
            if self._process.poll() is not None or waited > START_SECONDS:
                raise EnvironmentRefused(self._explain())
            time.sleep(_POLL_SECONDS)
        return time.monotonic() - self._began

    def end(self) -> str:
        """Stop it, and wait until nothing of it runs; what it has complained of. Idempotent."""
        if self._process.poll() is None:
            self._process.terminate()
        said = b""
        for _ in range(2):
            # The end of the pipe is the end of who holds it, the agent's own children included.
            with suppress(subprocess.TimeoutExpired):
                _, said = self._process.communicate(timeout=STOP_SECONDS)
                break
            self._process.kill()
        return said.decode(errors="replace").strip()

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=1)
        try:
            with self._namespace.entered():
                connection.connect()
            connection.request("GET", "/readyz")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _explain(self) -> str:
        status = self._process.poll()
        what = f"was not ready within {START_SECONDS:g} s" if status is None else f"ended with code {status}"
        said = self.end().removeprefix("policyd: error: ")
        return f"the agent {what}: {said or 'it did not say why'}"


def _environment() -> dict[str, str]:
    """Ours, without settings for other agents, and so that the child finds the modules that we have found."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("POLICYD_")}
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
