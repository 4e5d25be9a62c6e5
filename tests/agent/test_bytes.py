"""One path, two ends: what `policyd compile` prints is what the agent on that node applies first."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from policyd.agent.directory import DirectorySource
from policyd.agent.store import ObjectStore
from policyd.applier.apply import Applier
from policyd.applier.fake import FakeNft
from policyd.pipeline import build
from policyd_compiler.options import Options
from tests.agent.agents import WORLD, policy, write


def test_the_first_apply_is_what_compile_prints(tmp_path: Path) -> None:
    write(tmp_path, "world.yaml", WORLD)
    write(tmp_path, "policies.yaml", f"{policy('web', 'web', 80)}---\n{policy('db', 'db', 5432)}")
    printed = subprocess.run(
        [sys.executable, "-m", "policyd", "compile", "-f", ".", "--node", "n1"],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    ).stdout  # fmt: skip

    async def first_apply() -> str:
        store = ObjectStore("n1", asyncio.Event())
        source = DirectorySource(tmp_path, store.apply)
        task = asyncio.create_task(source.run())
        while store.waiting_for:  # noqa: ASYNC110 it is quick
            await asyncio.sleep(0.01)
        task.cancel()
        nft = FakeNft()
        await Applier(nft, "policyd").apply(build(store.state(), "n1", Options()).table)
        [script] = nft.scripts
        return script

    assert asyncio.run(first_apply()) == printed
