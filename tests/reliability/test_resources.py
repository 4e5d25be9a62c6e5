"""Memory that is short, a worker that is gone, and a clock that jumps."""

from __future__ import annotations

import ast
import json
import os
import resource
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from policyd.lab.namespace import Namespace
from tests.agent.agents import WORLD, nft, policy, write
from tests.cases.form import ingress, pod, pods
from tests.reliability.kernel import TABLE
from tests.reliability.process import Process
from tests.reliability.states import NODE
from tests.reliability.summary import show
from tests.support.sources import ROOT, python_files, relative
from tests.support.waiting import until

#: What reads the wall clock, and only shows it: Events, when something was in force, what a person is told.
SHOW_THE_TIME = {
    "policyd/agent/reporting/node_events.py",
    "policyd/agent/clock.py",
    "policyd/doctor/bundle.py",
    "policyd/cli/status.py",
    "policyd/cli/support_bundle.py",
}


@pytest.fixture
def agent(nothing_left: None, tmp_path: Path) -> Iterator[Process]:
    """An agent that enforces a directory, in a namespace of its own."""
    directory = tmp_path / "manifests"
    directory.mkdir()
    write(directory, "world.yaml", WORLD)
    write(directory, "web.yaml", policy("web", "web", 80))
    made = Process(tmp_path, "--manifests", str(directory), "--node", NODE, "--log-format", "json")
    yield made
    made.close()


@pytest.fixture
def node() -> Iterator[Namespace]:
    made = Namespace("node")
    yield made
    made.close()


def start(agent: Process, node: Namespace) -> None:
    with node.entered():
        agent.start()
    agent.wait_until_it_enforces()


def table(node: Namespace) -> str:
    return nft(node, "list", "table", "inet", TABLE)


@pytest.mark.kernel
@pytest.mark.slow
def test_an_agent_without_memory_says_so_and_what_is_in_force_stays(
    agent: Process, node: Namespace, tmp_path: Path
) -> None:
    """It lives, or, where the memory was needed for anything else than to compile, ends with a sentence."""
    start(agent, node)
    status = Path(f"/proc/{agent.pid}/status").read_text()
    size = int(status.partition("VmSize:")[2].split()[0]) << 10
    _, most = resource.prlimit(agent.pid, resource.RLIMIT_AS)
    resource.prlimit(agent.pid, resource.RLIMIT_AS, (size + (4 << 20), most))
    crowd = [
        pod(f"shop/p{n}", f"10.1.{n // 250}.{n % 250 + 1}", metadata={"labels": {"app": f"a{n}"}})
        for n in range(8000)
    ]
    # Each names a pod of its own, so that nothing is shared.
    crowd += [ingress("shop", None, {"from": [pods(app=f"a{n}")]}, name=f"n{n}") for n in range(2000)]
    write(
        tmp_path / "manifests", "crowd.yaml", json.dumps({"kind": "List", "apiVersion": "v1", "items": crowd})
    )
    until(lambda: not agent.runs or agent.says("the cluster could not be compiled"), agent.told)
    assert "tcp dport 80 return" in table(node)
    (tmp_path / "manifests" / "crowd.yaml").unlink()
    if agent.runs:
        resource.prlimit(agent.pid, resource.RLIMIT_AS, (most, most))
    else:
        assert agent.wait() == 4, agent.told()[-3000:]
        assert "there is not enough memory" in agent.told()
        start(agent, node)
    write(tmp_path / "manifests", "web.yaml", policy("web", "web", 81))
    until(lambda: "tcp dport 81 return" in table(node), agent.told)
    assert "10.1.0.1" not in table(node)


@pytest.mark.kernel
def test_a_worker_that_is_gone_costs_no_change(
    agent: Process, node: Namespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The next change is in force by another worker, and there is one at a time."""
    start(agent, node)
    took = []
    for port in range(81, 89):
        for pid in agent.children():
            os.kill(pid, signal.SIGKILL)
        began = time.monotonic()
        write(tmp_path / "manifests", "web.yaml", policy("web", "web", port))
        until(lambda port=port: f"tcp dport {port} return" in table(node))  # type: ignore[misc]
        took.append(time.monotonic() - began)
    show(
        capsys, [("a change after a worker's death", f"in force after {sorted(took)[len(took) // 2]:.2f} s")]
    )
    # And no proof, which is a copy of the agent for a moment.
    until(lambda: agent.footprint().zombies == 0 and len(agent.children()) <= 1)


def test_the_wall_clock_decides_nothing() -> None:
    """It may jump: whoever waits, retries or expires uses the monotonic clock."""
    readers = {relative(path) for path in python_files("policyd", "compiler") if _reads_wall_clock(path)}
    assert readers <= SHOW_THE_TIME


def _reads_wall_clock(path: Path) -> bool:
    wanted = {("time", "time"), ("time", "time_ns"), ("datetime", "now"), ("datetime", "utcnow")}
    return any(
        isinstance(part, ast.Attribute)
        and isinstance(part.value, ast.Name)
        and (part.value.id, part.attr) in wanted
        for part in ast.walk(ast.parse((ROOT / path).read_text()))
    )
