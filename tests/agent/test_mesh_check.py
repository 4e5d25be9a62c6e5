"""An agent says which policies a mesh keeps from being enforced as they are written."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from policyd.agent.daemon import _of_mesh
from policyd.agent.mesh_check import MeshCheck
from policyd.agent.sparing import REST_SECONDS
from policyd.cluster.state import ClusterState
from policyd.config import load_settings
from policyd.lab.namespace import Namespace
from policyd.object_store import ObjectStore
from tests.agent.agents import WORLD, policy, run, running, write
from tests.cases.form import ingress, pods
from tests.cases.mesh import state_of
from tests.support.clock import TurnedClock
from tests.support.waiting import eventually, until

TCP, MESH, FRIENDS = {"port": 80}, {"port": 15008}, pods(pod="friend")


async def test_it_is_said_as_long_as_it_is_so() -> None:
    clock = TurnedClock()
    states = [
        state_of(spaces={}),
        state_of(
            *(ingress("x", "web", {"ports": [TCP]}, name=f"p{n}") for n in range(6)),
            ingress("x", "web", {"from": [FRIENDS], "ports": [TCP, MESH]}, name="wide"),
        ),
        state_of(ingress("x", "web", {})),
    ]
    at = 0
    asked: list[int] = []

    def state() -> ClusterState:
        asked.append(at)
        return states[at]

    check = MeshCheck("n1", lambda: at, state, clock.clock)
    task = asyncio.create_task(check.run())
    await clock.turn(3 * REST_SECONDS)
    assert (check.conditions(), asked) == ((), [0])  # nothing was said, so nobody looks again
    at = 1
    await clock.turn(REST_SECONDS)
    await eventually(check.conditions)
    [condition] = check.conditions()
    assert (condition.name, condition.degraded) == ("mesh-ports", False)
    assert condition.text.endswith(
        "whoever may use port 15008 may use every port: x/wide (ingress); "
        "nobody of the mesh gets through, as port 15008 is not allowed: "
        "x/p0 (ingress), x/p1 (ingress), x/p2 (ingress), x/p3 (ingress) and 2 more"
    )
    at = 2
    await clock.turn(REST_SECONDS)
    await eventually(lambda: not check.conditions())
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize(("istio_ambient", "parts"), [("strict", 1), ("translate", 0)])
def test_where_ports_are_translated_nobody_looks(istio_ambient: str, parts: int) -> None:
    settings = load_settings({"node": "n1", "istio_ambient": istio_ambient}, {}).settings
    assert len(list(_of_mesh(settings, ObjectStore("n1", asyncio.Event())))) == parts


@pytest.mark.kernel
def test_an_agent_tells_it(tmp_path: Path) -> None:
    node, directory = Namespace("node"), tmp_path / "manifests"
    directory.mkdir()
    there = WORLD.replace("{name: shop}", "{name: shop, labels: {istio.io/dataplane-mode: ambient}}", 1)
    write(directory, "world.yaml", f"{there}---\n{policy('web', 'web', 80)}")
    with running(node, directory):
        until(lambda: "mesh-ports" in run(node, "status").stdout)
        assert "15008 is not allowed: shop/web (ingress)" in run(node, "status").stdout
        told = [line for line in run(node, "doctor").stdout.splitlines() if "15008" in line]
        assert [line.split()[:2] for line in told] == [["warn", "agent"]]
    node.close()
