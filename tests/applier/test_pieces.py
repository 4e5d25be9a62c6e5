"""The kernel is compared piece by piece: chains at once, elements some sets at a time, all in the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import closing

import pytest

from policyd.applier.pieces import Pieces
from policyd.applier.worker import NftWorker
from policyd.lab.namespace import Namespace
from policyd.netlink.element_reader import ElementReader
from policyd_compiler.nft.printer import print_replace
from tests.applier.rulesets import BRIDGED, NAME

pytestmark = pytest.mark.kernel
PARTS = [*BRIDGED.sets, *BRIDGED.maps, *(BRIDGED.bridge or BRIDGED).sets, *(BRIDGED.bridge or BRIDGED).maps]


class Kernel:
    """A namespace with a ruleset in it, and the ways to it."""

    def __init__(self, worker: NftWorker, reader: ElementReader) -> None:
        self.worker, self.reader = worker, reader

    def pieces(self, most: int) -> Pieces:
        return Pieces(self.worker, NAME, self.reader, most)


@pytest.fixture
def place() -> Iterator[Namespace]:
    with closing(Namespace("pieces")) as made:
        yield made


@pytest.fixture
async def kernel(place: Namespace) -> AsyncIterator[Kernel]:
    with place.entered():
        reader = ElementReader()
    worker = NftWorker(place.path)
    await worker.run(print_replace(BRIDGED))
    yield Kernel(worker, reader)
    await worker.close()
    reader.close()


async def test_without_a_difference_nothing_is_said(kernel: Kernel) -> None:
    """Of any type of keys, in both families, in whatever pieces."""
    for most in (1, 10, 10_000):
        pieces = kernel.pieces(most)
        for _ in PARTS:
            assert await pieces.differences(BRIDGED) == ()


async def test_a_chain_that_was_changed_is_noticed_at_once(kernel: Kernel) -> None:
    pieces = kernel.pieces(1)
    await kernel.worker.run(f"add rule bridge {NAME} forward accept\n")
    (said,) = await pieces.differences(BRIDGED)
    assert said.startswith("table bridge: chain forward was changed")
    await kernel.worker.run(f"delete table bridge {NAME}\n")
    assert await pieces.differences(BRIDGED) == (f"table bridge {NAME} is gone",)
    await kernel.worker.run(f"delete table inet {NAME}\n")
    assert await pieces.differences(BRIDGED) != ()


@pytest.mark.parametrize("family", ["inet", "bridge"])
async def test_an_element_that_is_gone_is_noticed_in_its_turn(kernel: Kernel, family: str) -> None:
    """Each set has its turn once before any has it twice."""
    table = BRIDGED if family == "inet" else BRIDGED.bridge
    assert table is not None
    name = next(part.name for part in table.sets if part.name.startswith(("itself4", "own-macs", "macs")))
    await kernel.worker.run(f"flush set {family} {NAME} {name}\n")
    pieces = kernel.pieces(1)
    said = [await pieces.differences(BRIDGED) for _ in PARTS]
    assert [found for found in said if found] == [(f"set {name} was changed",)]
    assert await kernel.pieces(10_000).differences(BRIDGED) == (f"set {name} was changed",)
