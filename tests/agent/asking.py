"""An agent's answers, asked for from within its namespace: as anybody over TCP, or as root at its socket."""

from __future__ import annotations

import os
import socket
import urllib.error
import urllib.request
from pathlib import Path

from policyd.lab.namespace import Namespace


def ask(namespace: Namespace, path: str, host: str = "127.0.0.1") -> tuple[int, str]:
    """The status and the text of an answer."""
    if path.startswith("/debug"):
        return ask_root(path)
    with namespace.entered():
        try:
            with urllib.request.urlopen(f"http://{host}:9471{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()


def agent_socket() -> Path:
    """Where the agent of this test is asked by root."""
    return Path(os.environ["POLICYD_RUN_DIR"], "policyd.sock")


def ask_root(path: str, place: Path | None = None) -> tuple[int, str]:
    """The same at an agent's socket, by default that of this test's agent."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as opened, opened.makefile("rb") as answer:
        opened.settimeout(30)
        opened.connect(str(place or agent_socket()))
        opened.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        status = int(answer.readline().split()[1])
        while answer.readline().strip():
            pass
        return status, answer.read().decode()
