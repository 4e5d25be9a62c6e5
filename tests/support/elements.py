"""Elements changed in place in a fake kernel, in which no packet walks."""

from __future__ import annotations

from policyd.applier.in_place import InPlace
from tests.fakes.fake_nft import FakeNft


def in_place_in(nft: FakeNft, table: str = "policyd") -> InPlace:
    """As an agent has it, but that nothing has to be waited for."""
    return InPlace(table, nft, atomic=True, wait=lambda: None)
