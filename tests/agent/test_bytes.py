"""One path, two ends: what `policyd compile` prints is what the agent on that node applies first."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from policyd.agent.sources.directory import DirectorySource
from policyd.applier.apply import Applier
from policyd.cluster.attachments import UNKNOWN, Attachments, attachments_json
from policyd.object_store import ObjectStore
from policyd.pipeline import build
from policyd_compiler.ir import Attachment
from policyd_compiler.options import Options
from tests.agent.agents import WORLD, policy, write
from tests.fakes.fake_nft import FakeNft

BRIDGED = Attachments(
    {"shop/web": Attachment("veth1", "cni0", 0x02_00_00_00_00_01), "shop/db": Attachment("veth2", "cni0")},
    ("cni0",),
    ("veth1", "veth2"),
    ("eth1",),
)
ROUTED = Attachments({"shop/web": Attachment("veth1"), "shop/db": Attachment("veth2")})


@pytest.mark.parametrize("attachments", [UNKNOWN, ROUTED, BRIDGED], ids=["unknown", "routed", "bridged"])
def test_the_first_apply_is_what_compile_prints(tmp_path: Path, attachments: Attachments) -> None:
    """Given what the agent knows of its node's interfaces when its first look is over."""
    given = tmp_path / "given"
    given.mkdir()
    (given / "attachments.json").write_text(json.dumps(attachments_json(attachments)))
    write(tmp_path, "world.yaml", WORLD)
    write(tmp_path, "policies.yaml", f"{policy('web', 'web', 80)}---\n{policy('db', 'db', 5432)}")
    printed = subprocess.run(
        [
            *(sys.executable, "-m", "policyd", "compile", "-f", ".", "--node", "n1"),
            *("--attachments", "given/attachments.json"),
        ],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    ).stdout  # fmt: skip

    async def first_apply() -> str:
        store = ObjectStore("n1", asyncio.Event())
        store.expect_attachments()
        source = DirectorySource(tmp_path, store.apply)
        task = asyncio.create_task(source.run())
        while not store.is_complete:  # noqa: ASYNC110 it is quick
            await asyncio.sleep(0.01)
        task.cancel()
        store.attach(attachments)
        assert store.waiting_for == ()
        nft = FakeNft()
        await Applier(nft, "policyd").apply(build(store.state(), "n1", Options()).table)
        [script] = nft.scripts
        return script

    assert asyncio.run(first_apply()) == printed
