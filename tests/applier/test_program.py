"""The program backend with programs that misbehave: they are killed, reaped and told about."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from policyd.applier import child
from policyd.applier.backend import NftBroken, NftRefused, NftUnavailable
from policyd.applier.program import NftProgram
from tests.support.waiting import eventually

ADD = "add table inet t\n"


def program(tmp_path: Path, text: str) -> str:
    """A program in the place of nft."""
    path = tmp_path / "nft"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


async def test_missing_program_is_reported() -> None:
    with pytest.raises(NftUnavailable, match="install the package nftables"):
        await NftProgram(program="no-such-nft").run(ADD)


async def test_program_that_hangs_is_killed(tmp_path: Path) -> None:
    nft = NftProgram(program=program(tmp_path, "exec sleep 60"), timeout=0.2)
    with pytest.raises(NftBroken, match=r"did not end within 0\.2 s") as caught:
        await nft.run(ADD)
    assert caught.value.retryable


async def test_program_that_does_not_read_is_killed(tmp_path: Path) -> None:
    nft = NftProgram(program=program(tmp_path, "exec sleep 60"), timeout=0.2)
    with pytest.raises(NftBroken):
        await nft.run(ADD * 100_000)


async def test_program_that_ends_before_it_reads_is_noticed(tmp_path: Path) -> None:
    nft = NftProgram(program=program(tmp_path, "echo 'Error: enough' >&2; exit 1"))
    with pytest.raises(NftRefused, match="enough"):
        await nft.run(ADD * 100_000)


async def test_program_that_dies_is_reported(tmp_path: Path) -> None:
    with pytest.raises(NftBroken, match="signal 11"):
        await NftProgram(program=program(tmp_path, "kill -SEGV $$")).run(ADD)


async def test_output_without_end_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "MAX_OUTPUT", 1 << 20)
    with pytest.raises(NftBroken, match="wrote more than"):
        await NftProgram(program=program(tmp_path, "exec yes")).list_table("t")


async def test_errors_without_end_are_cut(tmp_path: Path) -> None:
    text = "echo 'Error: first' >&2; yes more | head -c 10000000 >&2; exit 1"
    with pytest.raises(NftRefused, match="first") as caught:
        await NftProgram(program=program(tmp_path, text)).run(ADD)
    assert len(caught.value.message) < 1_000_000


async def test_calls_at_the_same_time_wait_for_each_other(tmp_path: Path) -> None:
    """One program at a time: a second one would fail here."""
    nft = NftProgram(
        program=program(tmp_path, f"mkdir {tmp_path}/busy && sleep 0.02 && rmdir {tmp_path}/busy")
    )

    await asyncio.gather(*(nft.run(ADD) for _ in range(4)))


async def test_nft_without_json_is_reported(tmp_path: Path) -> None:
    text = "echo 'JSON support not compiled-in' >&2; exit 1"
    with pytest.raises(NftUnavailable, match="JSON support"):
        await NftProgram(program=program(tmp_path, text)).list_table("t")


async def test_cancelled_call_leaves_nothing_behind(tmp_path: Path) -> None:
    """The fixture `nothing_is_left` looks for what is left."""

    nft = NftProgram(program=program(tmp_path, f"touch {tmp_path}/running; exec sleep 60"))
    call = asyncio.create_task(nft.run(ADD))
    await eventually((tmp_path / "running").exists)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


@pytest.mark.kernel
async def test_missing_permission_is_reported(netns: str, tmp_path: Path) -> None:
    stranger = program(tmp_path, 'exec setpriv --reuid 65534 --clear-groups nft "$@"')
    for attempt in (
        NftProgram(netns, program=stranger).run(ADD),
        NftProgram(netns, program=stranger).list_table("t"),
    ):
        with pytest.raises(NftUnavailable, match="CAP_NET_ADMIN"):
            await attempt


@pytest.mark.kernel
async def test_missing_namespace_is_reported(tmp_path: Path) -> None:
    with pytest.raises(NftUnavailable, match="cannot enter the network namespace"):
        await NftProgram(str(tmp_path / "none")).run(ADD)
