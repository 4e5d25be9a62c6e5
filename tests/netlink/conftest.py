"""A network namespace with real nft in it, a writer and a reader, and the proof that they leave nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from policyd.applier.worker import NftWorker
from policyd.lab.namespace import Namespace
from policyd.netlink.element_reader import ElementReader
from policyd.netlink.elements import ElementWriter


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    """A network namespace that nobody else knows."""
    made = Namespace("elements")
    yield made
    made.close()


@pytest.fixture
async def nft(namespace: Namespace) -> AsyncIterator[NftWorker]:
    """libnftables in it."""
    backend = NftWorker(namespace.path)
    yield backend
    await backend.close()


@pytest.fixture
def writer(namespace: Namespace) -> Iterator[ElementWriter]:
    """A writer in it."""
    with namespace.entered():
        made = ElementWriter()
    yield made
    made.close()


@pytest.fixture
def reader(namespace: Namespace) -> Iterator[ElementReader]:
    """A reader in it."""
    with namespace.entered():
        made = ElementReader()
    yield made
    made.close()
