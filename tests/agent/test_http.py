"""An agent over HTTP: its objects compile to its ruleset, strangers see neither, and nobody holds it up."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from policyd.lab.namespace import Namespace
from tests.agent.agents import WORLD, Agent, nft, policy, run, running, write
from tests.agent.asking import agent_socket, ask, ask_root
from tests.agent.live import running_live
from tests.cluster.control_plane import ControlPlane
from tests.support.waiting import until

pytestmark = pytest.mark.kernel


@pytest.fixture
def node() -> Iterator[Namespace]:
    made = Namespace("node")
    yield made
    made.close()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "manifests"
    made.mkdir()
    write(made, "world.yaml", WORLD)
    write(made, "web.yaml", policy("web", "web", 80))
    return made


def without_places(script: str) -> list[str]:
    return [line.split(" (")[0] for line in script.splitlines()]


def test_the_objects_compile_to_the_ruleset(node: Namespace, directory: Path, tmp_path: Path) -> None:
    with running(node, directory):
        write(directory, "db.yaml", policy("db", "db", 5432))
        until(lambda: "5432" in ask(node, "/debug/ruleset")[1])
        known = tmp_path / "objects.json"
        known.write_text(ask(node, "/debug/objects")[1])
        held = ask(node, "/debug/ruleset")[1]
        generation = json.loads(ask(node, "/debug/state")[1])["enforced"]["generation"]
        flags = ("--node", "n1", "--generation", str(generation), "--no-sources")
        done = run(node, "compile", "-f", str(known), *flags)
        assert (done.returncode, done.stderr) == (0, "")
        # Those of a directory were written somewhere, and only that differs.
        assert without_places(done.stdout) == without_places(held)
        assert "web.yaml" in held


@pytest.mark.cluster
def test_the_objects_of_an_api_server_compile_to_the_same_bytes(
    control_plane: ControlPlane, node: Namespace, tmp_path: Path
) -> None:
    manifests = WORLD.replace("shop", "bytes").replace("n1", "bytes")
    control_plane.apply(f"{manifests.replace('{name: c', '{image: none, name: c')}")
    control_plane.apply(policy("web", "web", 80).replace("shop", "bytes"))
    for name, address in (("web", "10.0.0.1"), ("db", "10.0.0.2")):
        status = {"status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}}
        flags = ("-n", "bytes", "--subresource", "status", "--type", "merge", "-p", json.dumps(status))
        control_plane.kubectl("patch", "pod", name, *flags)
    with running_live(control_plane, node, "bytes", tmp_path):
        known = tmp_path / "objects.json"
        known.write_text(ask(node, "/debug/objects")[1])
        held = ask(node, "/debug/ruleset")[1]
        done = run(node, "compile", "-f", str(known), "--node", "bytes", "--no-sources")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == held
        assert "10.0.0.1" in held
        fresh = {k["kind"]: k["stale_seconds"] for k in json.loads(ask(node, "/debug/state")[1])["objects"]}
        assert all(isinstance(seconds, float) for seconds in fresh.values())


def test_the_state_says_what_is_known_and_in_force(node: Namespace, directory: Path) -> None:
    with running(node, directory):
        state = json.loads(ask(node, "/debug/state")[1])
        assert state["enforced"]["stats"]["pods"] == 2
        assert state["enforced"]["stats"]["isolated"] == 1
        assert (state["quarantined"], state["waiting_for"]) == ({}, [])
        assert {known["kind"]: known["count"] for known in state["objects"]} == {
            "Pod": 2, "Namespace": 1, "NetworkPolicy": 1, "ClusterNetworkPolicy": 0, "Node": 0,
        }  # fmt: skip


def test_the_last_lines_of_the_log_are_kept_in_memory(node: Namespace, directory: Path) -> None:
    with running(node, directory) as agent:
        kept = [json.loads(line) for line in ask(node, "/debug/log")[1].splitlines()]
        assert kept == agent.log()
        assert [line["event"] for line in kept][:1] == ["agent.started"]


@pytest.mark.parametrize("path", ["/debug/state", "/debug/ruleset", "/debug/objects", "/debug/log"])
def test_what_the_cluster_is_like_is_not_for_everybody_who_connects(
    node: Namespace, directory: Path, path: str
) -> None:
    with running(node, directory), node.entered():
        until(lambda: ask_root(path)[0] == 200)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"http://127.0.0.1:9471{path}", timeout=10)
        assert refused.value.code == 404
        refused.value.close()


def test_a_port_that_somebody_has_is_a_condition_and_enforcement_goes_on(
    node: Namespace, directory: Path
) -> None:
    with node.entered():
        taken = socket.create_server(("127.0.0.1", 9471))
    with taken, running(node, directory) as agent:
        until(lambda: agent.says("nobody can ask the agent here"))
        state = json.loads(ask_root("/debug/state")[1])
        [condition] = [c for c in state["conditions"] if c["name"] == "http-unavailable"]
        assert condition["text"].startswith("cannot listen on 127.0.0.1:9471: ")
        assert not condition["degraded"]
        write(directory, "db.yaml", policy("db", "db", 5432))
        until(lambda: "5432" in ask_root("/debug/ruleset")[1])
        taken.close()
        until(lambda: can_be_asked(node))
        assert "http-unavailable" not in ask(node, "/debug/state")[1]


def can_be_asked(node: Namespace) -> bool:
    try:
        return ask(node, "/livez") == (200, "ok\n")
    except OSError:
        return False


def test_a_socket_that_somebody_removes_comes_back(node: Namespace, directory: Path) -> None:
    with running(node, directory):
        until(agent_socket().exists)
        agent_socket().unlink()
        until(agent_socket().exists)
        until(lambda: ask_root("/livez") == (200, "ok\n"))
    assert agent_socket().exists()  # killed
    with running(node, directory) as agent:
        until(lambda: can_be_asked(node))
        until(lambda: ask_root("/livez") == (200, "ok\n"))
        agent.kill(signal.SIGTERM)
    assert not agent_socket().exists()


@pytest.mark.parametrize("sent", [b"", b"GET /metrics HTTP/1.1\r\nHost: x\r\n"])
def test_connections_that_ask_nothing_keep_no_change_from_coming_into_force(
    node: Namespace, directory: Path, sent: bytes
) -> None:
    """As many as the files that a process may have open on many nodes, held and opened again."""
    with (
        running(node, directory, files=1024) as agent,
        crowd(node, 1010, sent),
    ):
        assert can_be_asked(node)
        write(directory, "db.yaml", policy("db", "db", 5432))
        until(lambda: "5432" in ask_root("/debug/ruleset")[1])
        assert can_be_asked(node)
        assert open_files(agent) < 200


@contextmanager
def crowd(node: Namespace, count: int, sent: bytes) -> Iterator[None]:
    """Many connections to the agent, each opened again when it is closed."""
    with node.entered(), ExitStack() as stack:
        for _ in range(count):
            opened = stack.enter_context(socket.create_connection(("127.0.0.1", 9471), timeout=10))
            with suppress(OSError):  # closed already, to make room
                opened.sendall(sent)
        yield


def open_files(agent: Agent) -> int:
    return len(os.listdir(f"/proc/{agent.process.pid}/fd"))  # noqa: PTH208 only counted


def test_who_asks_again_and_again_keeps_no_change_from_coming_into_force(
    node: Namespace, directory: Path
) -> None:
    """Nor do those whom root asks for everything take a thread that compiles."""
    with running(node, directory):
        until(agent_socket().exists)
        ended = threading.Event()
        paths = ["/metrics", "/readyz"] * 6 + ["/debug/objects"] * 12
        threads = [threading.Thread(target=ask_until, args=(ended, node, path)) for path in paths]
        for thread in threads:
            thread.start()
        try:
            write(directory, "db.yaml", policy("db", "db", 5432))
            until(lambda: "5432" in nft(node, "list", "table", "inet", "policyd"))
        finally:
            ended.set()
            for thread in threads:
                thread.join()


def ask_until(ended: threading.Event, node: Namespace, path: str) -> None:
    while not ended.is_set():
        with suppress(OSError, IndexError):
            ask(node, path)
