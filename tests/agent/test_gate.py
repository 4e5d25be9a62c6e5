"""The gate looks for pods that wait when there may be some, and not with each ruleset."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from policyd.agent.gate import Gate
from policyd.agent.reporting.status import AgentStatus, Enforced
from policyd.object_store import ObjectStore
from policyd.obs.metrics import Metrics
from policyd.pipeline import Stats
from tests.support.waiting import eventually


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
