"""The gate looks for pods that wait when there may be some, and not with each ruleset."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from policyd.agent.gate import Gate
from policyd.agent.reporting.status import AgentStatus, Enforced
from policyd.cluster.events import Upsert
from policyd.kube.objects import Pod
from policyd.object_store import ObjectStore
from policyd.obs.metrics import Metrics
from policyd.pipeline import Stats
from tests.support.waiting import eventually

RESULT = {
    "cniVersion": "1.0.0",
    "interfaces": [{"name": "veth1"}, {"name": "eth0", "sandbox": "/run/netns/x"}],
    "ips": [{"address": "10.0.0.7/24", "interface": 1}],
}


async def test_a_ruleset_is_looked_for_by_who_waits_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the first there may be pods that asked before; later ones concern nobody while nobody waits."""
    looks: list[Path] = []
    scan = os.scandir

    def look(path: Path) -> Any:
        looks.append(path)
        return scan(path)

    monkeypatch.setattr("policyd.agent.gate.os.scandir", look)
    monkeypatch.setattr("policyd.agent.gate.LOOK_SECONDS", 60.0)
    status = AgentStatus()
    gate = Gate(tmp_path, ObjectStore("n1", asyncio.Event()), status, lambda: True, Metrics())
    task = asyncio.create_task(gate.run())

    try:
        await eventually(lambda: looks)
        status.enforced = Enforced(1, 0.0, Stats(0, 0, 0, 0, 0, 0, 0), (), ())
        gate.notice()
        await eventually((tmp_path / "ready").exists)  # what such a look leaves
        known = len(looks)
        for _ in range(20):
            gate.notice()
            await asyncio.sleep(0.005)
        assert len(looks) == known
        (tmp_path / "new").mkdir()
        (tmp_path / "new").rename(tmp_path / "asked" / "1")  # as the plugin does it
        await eventually(lambda: len(looks) > known)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_pod_that_asked_before_it_was_known_goes_on_when_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its addresses are believed as soon as the API server tells of it, and not when one looks again."""
    monkeypatch.setattr("policyd.agent.gate.LOOK_SECONDS", 600.0)
    store = ObjectStore("n1", asyncio.Event())
    gate = Gate(tmp_path, store, AgentStatus(), lambda: True, Metrics())
    store.on_local.append(gate.notice)
    result = {"cniVersion": "1.0.0", "name": "net", "type": "policyd-cni", "prevResult": RESULT}
    asked = tmp_path / "asked" / "c1-eth0.1"
    asked.mkdir(parents=True)
    os.mkfifo(asked / "answer")
    (asked / "request").write_text(
        "CNI_COMMAND=ADD\nCNI_CONTAINERID=c1\nCNI_IFNAME=eth0\nCNI_NETNS=/run/netns/x\n"
        "CNI_ARGS=K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web;K8S_POD_UID=u1\nWAIT_SECONDS=600\n\n"
        f"{json.dumps(result)}"
    )
    task = asyncio.create_task(gate.run())
    try:
        await eventually(lambda: gate._waiting)
        pod = Pod("shop", "web", "u1", (), "n1", False, False, False, "", None, None, ())
        store.apply([Upsert("shop/web", pod)])
        async with asyncio.timeout(30):
            await eventually(lambda: store.state().pods["shop/web"].v4 is not None)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
