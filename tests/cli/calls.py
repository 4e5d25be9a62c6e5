"""The words in which tests of the command line are written, and a small cluster to compile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tests.cases.form import egress, ingress, namespace, namespaces, pod, pods, policy
from tests.oracle import Manifest
from tests.support.waiting import DEADLINE

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Result:
    """What a command line did."""

    code: int
    out: str
    err: str


class Call(Protocol):
    def __call__(self, *arguments: object, stdin: str | bytes = b"") -> Result: ...


def node(name: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}


#: Two nodes; shop/web and shop/db are on n1, shop/api on n2.
SHOP: tuple[Manifest, ...] = (
    node("n1"),
    node("n2"),
    namespace("shop", team="shop"),
    pod("shop/web", "10.244.1.10", "fd00::1:10", ports=[{"name": "http", "containerPort": 8080}]),
    pod("shop/db", "10.244.1.11"),
    pod("shop/api", "10.244.2.10", node="n2"),
    pod("shop/proxy", "192.0.2.1", spec={"hostNetwork": True}),
    policy("shop", name="default-deny", policyTypes=["Ingress"]),
    ingress("shop", "web", {"from": [namespaces(team="shop")], "ports": [{"port": "http"}]}, name="web"),
    egress("shop", "db", {"to": [pods(pod="api")]}, name="db"),
)


def as_list(*objects: Manifest) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})


POLICYD = (sys.executable, "-m", "policyd")


def start(*arguments: object, program: Sequence[str] = POLICYD, **kwargs: Any) -> subprocess.Popen[str]:
    """Start a process of policyd, as a shell does; whoever starts it ends it."""
    path = os.pathsep.join((str(ROOT), str(ROOT / "compiler")))
    environment = {**os.environ, "PYTHONPATH": path}
    kwargs = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **kwargs}
    return subprocess.Popen([*program, *map(str, arguments)], env=environment, text=True, **kwargs)


def finish(process: subprocess.Popen[str]) -> Result:
    """Wait for a process to end by itself."""
    try:
        out, err = process.communicate(timeout=DEADLINE)
    finally:
        process.kill()
        process.wait()
    return Result(process.returncode, out or "", err or "")
