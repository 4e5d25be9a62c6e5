"""Agents of a real API server, each in a namespace of its own, with a door to that server."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from policyd.lab.namespace import Namespace
from tests.agent.agents import command
from tests.cluster import forward
from tests.cluster.control_plane import ControlPlane
from tests.support.waiting import until


@contextmanager
def door(plane: ControlPlane, namespace: Namespace) -> Iterator[None]:
    """Let processes of the namespace reach the API server, where the kubeconfig says that it is."""
    port = urlsplit(plane.server).port or 0
    with namespace.entered():
        listener = socket.create_server(("127.0.0.1", port))
    with listener:
        line = [sys.executable, "-I", forward.__file__, str(listener.fileno()), "127.0.0.1", str(port)]
        process = subprocess.Popen(line, pass_fds=[listener.fileno()])
        try:
            yield
        finally:
            process.kill()
            process.wait()


@contextmanager
def running_live(
    plane: ControlPlane, namespace: Namespace, node: str, folder: Path, *flags: str
) -> Iterator[None]:
    """An agent for a node, which has brought its first ruleset into force."""
    log = folder / "agent.log"
    with door(plane, namespace):
        with namespace.entered(), log.open("wb") as stream:
            options = ("--kubeconfig", str(plane.kubeconfig), "--node", node, *flags)
            agent = subprocess.Popen(command("run", *options), stderr=stream)
        try:
            until(lambda: "ruleset in force" in log.read_text() or agent.poll() is not None)
            assert agent.poll() is None, log.read_text()
            yield
        finally:
            agent.terminate()
            agent.wait()
