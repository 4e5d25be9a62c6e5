"""An agent over HTTP: its objects compile to its ruleset, its log is there, strangers see neither."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from policyd.lab.namespace import Namespace
from tests.agent.agents import WORLD, policy, run, running, write
from tests.agent.asking import ask
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
            "Pod": 2, "Namespace": 1, "NetworkPolicy": 1, "Node": 0,
        }  # fmt: skip


def test_the_last_lines_of_the_log_are_kept_in_memory(node: Namespace, directory: Path) -> None:
    with running(node, directory) as agent:
        kept = [json.loads(line) for line in ask(node, "/debug/log")[1].splitlines()]
        assert kept == agent.log()
        assert [line["event"] for line in kept][:1] == ["agent.started"]


@pytest.mark.parametrize("path", ["/debug/state", "/debug/ruleset", "/debug/objects", "/debug/log"])
def test_what_a_node_knows_is_for_the_node_alone(node: Namespace, directory: Path, path: str) -> None:
    node.ip(["link add v0 type veth peer name v1", "link set v0 up", "addr add 192.0.2.1/32 dev v0"])
    with running(node, directory, "--listen", "0.0.0.0:9471"):
        assert ask(node, path)[0] == 200
        assert ask(node, path, host="192.0.2.1")[0] == 403
        assert ask(node, "/readyz", host="192.0.2.1")[0] == 200
