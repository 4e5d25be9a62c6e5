"""An agent's HTTP answers, asked for from within its namespace."""

from __future__ import annotations

import urllib.error
import urllib.request

from policyd.lab.namespace import Namespace


def ask(namespace: Namespace, path: str, host: str = "127.0.0.1") -> tuple[int, str]:
    """The status and the text of an answer."""
    with namespace.entered():
        try:
            with urllib.request.urlopen(f"http://{host}:9471{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
