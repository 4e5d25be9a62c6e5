"""Agents as operators run them: the real command, in a network namespace of its own, on a directory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from policyd.lab.namespace import Namespace
from tests.support.waiting import DEADLINE, until

WORLD = """\
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {nodeName: n1, containers: [{name: c, ports: [{name: http, containerPort: 80}]}]}
status: {phase: Running, podIPs: [{ip: 10.0.0.1}, {ip: "fd00::1"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
spec: {nodeName: n1, containers: [{name: c}]}
status: {phase: Running, podIPs: [{ip: 10.0.0.2}, {ip: "fd00::2"}]}
"""


def policy(name: str, app: str, port: int) -> str:
    """A policy that lets everybody reach one port of an application."""
    return (
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
        f"metadata: {{name: {name}, namespace: shop}}\n"
        f"spec: {{podSelector: {{matchLabels: {{app: {app}}}}}, ingress: [{{ports: [{{port: {port}}}]}}]}}\n"
    )


def write(directory: Path, name: str, text: str) -> None:
    """Put a file there as editors do: whole, by a rename."""
    draft = directory / f".{name}.tmp"
    draft.write_text(text)
    draft.rename(directory / name)


class Agent:
    """One running agent, its log, and its namespace's nft."""

    def __init__(self, namespace: Namespace, directory: Path, *flags: str, files: int = 0) -> None:
        """`files`: how many it may open at most; 0 for as many as we may. Flags may name another source."""
        self.namespace = namespace
        source = () if "--kubeconfig" in flags else ("--manifests", str(directory))
        self._log = directory.parent / f"{uuid4()}.log"
        with namespace.entered(), self._log.open("wb") as log:
            limit = ("prlimit", f"--nofile={files}:{files}") if files else ()
            self.process = subprocess.Popen(
                [*limit, *command("run", *source, "--node", "n1", *flags)], stderr=log
            )

    def log(self) -> list[dict[str, object]]:
        """What the agent has logged, a mapping for each line."""
        return [json.loads(line) for line in self._log.read_text().splitlines() if line.startswith("{")]

    def says(self, sentence: str) -> list[dict[str, object]]:
        """The log lines with this sentence."""
        return [line for line in self.log() if str(line["msg"]).startswith(sentence)]

    def kill(self, number: int = signal.SIGKILL) -> int:
        """End the agent with a signal; its exit code."""
        self.process.send_signal(number)
        return self.process.wait(DEADLINE)


@contextmanager
def running(
    namespace: Namespace, directory: Path, *flags: str, sentence: str = "ruleset in force", files: int = 0
) -> Iterator[Agent]:
    """An agent that has brought its first ruleset into force, or has said `sentence`; killed at the end."""
    agent = Agent(namespace, directory, *flags, files=files)
    try:
        until(lambda: agent.says(sentence) or agent.process.poll() is not None)
        assert agent.process.poll() is None, agent.log()
        yield agent
    finally:
        if agent.process.poll() is None:
            agent.kill()


def command(*arguments: str) -> list[str]:
    """policyd's command line, whether it is installed or not."""
    return [sys.executable, "-m", "policyd", *arguments]


def run(namespace: Namespace, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a policyd command to its end in a namespace."""
    with namespace.entered():
        return subprocess.run(
            command(*arguments), capture_output=True, text=True, timeout=DEADLINE, check=False, env=os.environ
        )


def nft(namespace: Namespace, *arguments: str) -> str:
    """What nft prints, in a namespace."""
    with namespace.entered():
        done = subprocess.run(["nft", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0 or "No such file" in done.stderr, done.stderr
    return done.stdout
