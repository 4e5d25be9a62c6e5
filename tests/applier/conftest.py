"""Backends in network namespaces of their own, and a loop that lives as long as the test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from policyd.applier.backend import Nft
from policyd.applier.fake import FakeNft
from policyd.applier.program import NftProgram
from policyd.applier.worker import NftWorker
from policyd.lab.namespace import Namespace


@pytest.fixture
def netns() -> Iterator[str]:
    """The path of a network namespace that nobody else knows."""
    namespace = Namespace("applier")
    yield namespace.path
    namespace.close()


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    """A loop for one test, after which nothing that it started is left: no process, no descriptor."""
    before = open_files()
    with asyncio.Runner() as runner:
        yield runner
    assert children() == []
    assert open_files() == before


@pytest.fixture(
    params=[
        "fake",
        pytest.param("program", marks=pytest.mark.kernel),
        pytest.param("library", marks=pytest.mark.kernel),
    ]
)
def nft(request: pytest.FixtureRequest) -> Iterator[Nft]:
    """Each backend in turn, with nothing in it."""
    if request.param == "fake":
        yield FakeNft()
        return
    netns: str = request.getfixturevalue("netns")
    backend: Nft = NftProgram(netns) if request.param == "program" else NftWorker(netns)
    runner: asyncio.Runner = request.getfixturevalue("runner")
    yield backend
    runner.run(backend.close())


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what nobody tells."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 the kernel sets no event
            await asyncio.sleep(0.001)


def children() -> list[int]:
    """The processes that this one started and that are not reaped yet."""
    found: list[int] = []
    for path in Path("/proc/self/task").glob("*/children"):
        with suppress(FileNotFoundError):  # a thread that ended meanwhile
            found.extend(map(int, path.read_text().split()))
    return sorted(found)


def open_files() -> list[int]:
    """The descriptors of this process, without the one that reads them."""
    return sorted(int(path.name) for path in Path("/proc/self/fd").iterdir() if path.exists())
