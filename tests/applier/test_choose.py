"""Which backend is opened, what it says of itself, and what is found out about nft."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from policyd.applier.backend import NftUnavailable
from policyd.applier.choose import BackendKind, open_backend
from policyd.applier.probe import Capabilities, probe_nft, replaces_are_atomic
from tests.fakes.fake_nft import FakeNft

pytestmark = pytest.mark.kernel

LIBRARY = "libnftables in a worker process"


async def description(kind: BackendKind, netns: str, library: str | None = None) -> str:
    nft = await (open_backend(kind, netns) if library is None else open_backend(kind, netns, library))
    assert await nft.list_table("t") is None
    await nft.close()
    return nft.describe()


@pytest.mark.parametrize(
    ("kind", "expected"), [("library", LIBRARY), ("auto", LIBRARY), ("program", "the program ")]
)
async def test_backend_is_what_was_asked_for(netns: str, kind: BackendKind, expected: str) -> None:
    assert (await description(kind, netns)).startswith(expected)


async def test_program_takes_the_place_of_a_missing_library(netns: str, tmp_path: Path) -> None:
    """And says why."""
    told = await description("auto", netns, str(tmp_path))
    assert told.startswith("the program ")
    assert f"no python3-nftables in {tmp_path}" in told


async def test_library_that_was_asked_for_must_work(netns: str, tmp_path: Path) -> None:
    with pytest.raises(NftUnavailable, match="no python3-nftables"):
        await open_backend("library", netns, str(tmp_path))


@pytest.mark.parametrize("kind", ["auto", "library", "program"])
async def test_nothing_opens_where_no_namespace_is(tmp_path: Path, kind: BackendKind) -> None:
    with pytest.raises(NftUnavailable, match="cannot enter the network namespace"):
        await open_backend(kind, str(tmp_path / "none"))


async def test_probe_says_versions() -> None:
    found = await probe_nft(FakeNft())
    assert (found.json, found.kernel) == (True, platform.release())
    assert found.nft[0].isdigit()
    assert found.sentences()[0] == f"backend: {FakeNft().describe()}"


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        ("6.18.44", True),
        ("6.17.0-rc7", True),
        ("10.0", True),
        ("6.16.12", False),
        ("6.1.0-18-amd64", False),
        ("5.15.0-91-generic", False),
        ("6.171", True),
        ("6", False),
        ("", False),
        ("six.17", False),
    ],
)
def test_which_kernels_replace_data_without_a_gap(release: str, expected: bool) -> None:
    assert replaces_are_atomic(release) is expected


async def test_probe_without_a_program_says_so() -> None:
    found = await probe_nft(FakeNft(), "no-such-nft")
    assert "not installed" in found.sentences()[1]


def test_probe_warns_of_what_will_not_do() -> None:
    old = Capabilities(backend="b", nft="0.9.8", json=False, kernel="5.10").sentences()[1]
    assert "without JSON" in old
    assert "older than 1.0.6" in old
