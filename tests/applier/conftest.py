"""Backends in network namespaces of their own, and the proof that they leave nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from policyd.applier.backend import Nft
from policyd.applier.program import NftProgram
from policyd.applier.worker import NftWorker
from policyd.lab.namespace import Namespace
from tests.fakes.fake_nft import FakeNft
from tests.lab.leftovers import children


@pytest.fixture
def netns() -> Iterator[str]:
    """The path of a network namespace that nobody else knows."""
    namespace = Namespace("applier")
    yield namespace.path
    namespace.close()


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """After a test nothing that it started is left: no process, no descriptor."""
    children_before, files_before = children(), open_files()
    yield
    assert set(children()) - set(children_before) == set()
    assert open_files() == files_before


@pytest.fixture(
    params=[
        "fake",
        pytest.param("program", marks=pytest.mark.kernel),
        pytest.param("library", marks=pytest.mark.kernel),
    ]
)
async def nft(request: pytest.FixtureRequest) -> AsyncIterator[Nft]:
    """Each backend in turn, with nothing in it."""
    if request.param == "fake":
        yield FakeNft()
        return
    netns: str = request.getfixturevalue("netns")
    backend: Nft = NftProgram(netns) if request.param == "program" else NftWorker(netns)
    yield backend
    await backend.close()


def open_files() -> list[int]:
    """The descriptors of this process, without the one that reads them."""
    return sorted(int(path.name) for path in Path("/proc/self/fd").iterdir() if path.exists())
