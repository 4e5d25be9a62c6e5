"""Whatever system call fails: the agent lives, the ruleset stays, a condition says so, and it passes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from policyd.lab.namespace import Namespace
from tests.agent.agents import WORLD, nft, policy, run, write
from tests.agent.asking import ask, ask_root
from tests.support.waiting import until

pytestmark = pytest.mark.kernel


@dataclass(frozen=True, slots=True)
class Fault:
    """A call that fails (an audit event, a part of its arguments, an errno), and what condition it makes.

    `held`: whether a change of policies waits until it is over. `workerless`: the worker is gone, too.
    `when`: whether it is met by an agent that runs, or by one that starts, or by both.
    """

    name: str
    event: str
    part: str
    number: str
    condition: str
    held: bool = False
    workerless: bool = False
    when: str = "running, starting"


#: AF_NETLINK is 16; netfilter is its protocol 12, rtnetlink its protocol 0.
FAULTS = (
    # An agent that starts claims its node by such a socket: without one it ends with 4 and is started again.
    Fault("no netlink", "socket.__new__", "16, 3", "EMFILE", "node-unexamined", when="running"),
    Fault("no memory for netlink", "socket.__new__", "16, 3", "ENOMEM", "node-unexamined", when="running"),
    Fault("no conntrack", "socket.__new__", "16, 3, 12", "EMFILE", "connections-unlisted", when="running"),
    Fault("no room on disk", "open", "state/policyd", "ENOSPC", "state-unsaved"),
    Fault("no right to the disk", "open", "state/policyd", "EACCES", "state-unsaved"),
    Fault("a disk that fails", "os.rename", "state/policyd", "EIO", "state-unsaved"),
    Fault("no file to list with", "os.listdir", "written", "EMFILE", "file-broken", held=True),
    Fault("no right to list", "os.listdir", "written", "EACCES", "file-broken", held=True),
    Fault("no file to read with", "open", "db.yaml", "EMFILE", "file-broken", held=True, when="running"),
    Fault("no process", "subprocess.Popen", "", "EAGAIN", "apply-failing", True, True, "running"),
    Fault("no memory for one", "subprocess.Popen", "", "ENOMEM", "apply-failing", True, True, "running"),
    # Threads that there are go on; a worker that is replaced may need one.
    Fault("no thread", "_thread.start_new_thread", "", "EAGAIN", "", when="running"),
    Fault("no inotify", "watchfiles", "", "EMFILE", "directory-unwatched", when="starting"),
    Fault("the port is taken", "socket.bind", "9471", "EADDRINUSE", "http-unavailable", when="starting"),
    Fault("no proc", "open", "/proc/", "EMFILE", "node-unexamined"),
)


class Failing:
    """An agent whose system calls can be made to fail."""

    def __init__(self, node: Namespace, folder: Path) -> None:
        self._orders = folder / "orders"
        self._orders.touch()
        self.directory = folder / "written"
        self.directory.mkdir()
        write(self.directory, "world.yaml", WORLD)
        write(self.directory, "web.yaml", policy("web", "web", 80))
        self.node = node
        self._log = folder / "log"
        flags = ("--manifests", str(self.directory), "--node", "n1", "--state-dir", str(folder / "state"))
        command = [sys.executable, "-m", "tests.reliability.faulty", str(self._orders), "run", *flags]
        with node.entered(), self._log.open("wb") as log:
            self.process = subprocess.Popen(command, stderr=log)

    def order(self, *faults: Fault) -> None:
        """Let these calls fail from now on, and no others."""
        lines = "".join(f"{fault.event}\t{fault.part}\t{fault.number}\n" for fault in faults)
        draft = self._orders.with_suffix(".new")
        draft.write_text(lines)
        draft.replace(self._orders)

    def conditions(self) -> set[str]:
        try:
            state = json.loads(ask_root("/debug/state")[1])
        except OSError:  # it does not listen yet
            return {"not listening"}
        return {condition["name"] for condition in state["conditions"]}

    def enforces(self, port: int) -> bool:
        return f"dport {port} " in nft(self.node, "list", "table", "inet", "policyd")

    def log(self) -> str:
        return self._log.read_text()

    def kill_worker(self) -> None:
        done = subprocess.run(
            ["pkill", "-KILL", "-P", str(self.process.pid)], check=False, capture_output=True
        )
        assert done.returncode in (0, 1)


@contextmanager
def failing(node: Namespace, folder: Path, *faults: Fault) -> Iterator[Failing]:
    agent = Failing(node, folder)
    try:
        agent.order(*faults)
        yield agent
    finally:
        agent.process.kill()
        agent.process.wait()


@pytest.fixture
def node() -> Iterator[Namespace]:
    made = Namespace("node")
    made.ip(["link set lo up"])
    yield made
    made.close()


EVER = {"pods-unbound", "pods-unseen", "forwarding-off"}  # of a node without pods' interfaces


@pytest.mark.parametrize("fault", [f for f in FAULTS if "running" in f.when], ids=lambda fault: fault.name)
def test_a_call_that_fails_costs_neither_the_agent_nor_its_ruleset(
    fault: Fault, node: Namespace, tmp_path: Path
) -> None:
    with failing(node, tmp_path) as agent:
        until(lambda: agent.enforces(80) and agent.conditions() <= EVER)
        agent.order(fault)
        if fault.workerless:
            agent.kill_worker()
        write(agent.directory, "db.yaml", policy("db", "db", 5432))
        if not fault.held:
            until(lambda: agent.enforces(5432))
        until(lambda: not fault.condition or fault.condition in agent.conditions())
        assert agent.process.poll() is None
        assert agent.enforces(80)
        agent.order()
        until(lambda: agent.enforces(5432))
        until(lambda: fault.condition not in agent.conditions())
        assert agent.process.poll() is None


@pytest.mark.parametrize("fault", [f for f in FAULTS if "starting" in f.when], ids=lambda fault: fault.name)
def test_an_agent_starts_though_a_call_fails(fault: Fault, node: Namespace, tmp_path: Path) -> None:
    with failing(node, tmp_path, fault) as agent:
        if not fault.held:
            until(lambda: agent.enforces(80))
        until(lambda: fault.condition in agent.conditions())
        assert ("nothing-enforced" in agent.conditions()) == fault.held
        agent.order()
        until(lambda: agent.enforces(80))
        until(lambda: agent.conditions() <= EVER)
        assert agent.process.poll() is None


def test_an_agent_without_any_ruleset_in_force_says_so_wherever_it_is_asked(
    node: Namespace, tmp_path: Path
) -> None:
    unread = next(fault for fault in FAULTS if fault.name == "no file to list with")
    with failing(node, tmp_path, unread) as agent:
        until(lambda: "nothing-enforced" in agent.conditions())
        status, text = ask(node, "/readyz")
        assert (status, "[-] nothing-enforced: no ruleset of policyd" in text) == (503, True)
        metrics = ask(node, "/metrics")[1]
        assert 'policyd_condition{condition="nothing-enforced"} 1.0' in metrics
        assert "policyd_enforcing 0.0" in metrics
        said = run(node, "status")
        assert (said.returncode, "DEGRADED: nothing-enforced: " in said.stdout) == (1, True)
        examined = run(node, "doctor")
        assert (examined.returncode, "FAIL    agent        no ruleset of policyd" in examined.stdout) == (
            1,
            True,
        )
        until(lambda: '"condition": "nothing-enforced"' in agent.log())
        agent.process.terminate()
        assert agent.process.wait(60) == 0
        last = json.loads(agent.log().splitlines()[-1])
        assert last["msg"] == "agent stopped; no ruleset of policyd is known to be in force"
