"""The fake is true: with the same scripts, valid and not, it does what nft and the kernel do."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policyd.applier.backend import Nft, NftRefused, delete_tables
from policyd.applier.worker import NftWorker
from policyd.lab.namespace import Namespace
from policyd_compiler.nft.ast import Set, Table, VerdictMap
from policyd_compiler.nft.commands import Change, Elements, Named, print_changes
from policyd_compiler.nft.json_parser import parse_listing
from tests.applier.commands import FOUNDATION, scripts
from tests.fakes.fake_nft import FakeNft
from tests.fakes.fake_table import kind

NAME = "policyd-test"


async def unsupported_reason(nft: Nft, script: str) -> NftRefused | None:
    try:
        await nft.run(script)
    except NftRefused as refused:
        return refused
    return None


def first_words(refused: NftRefused) -> str:
    """The reason, without whose it is and what nft guesses was meant: both depend on what nft has read."""
    return re.split("[,;]", refused.reason.removeprefix("Could not process rule: "))[0]


def one_mistake(script: Sequence[Change]) -> bool:
    """Whether a refused script can have only one: which of two is told first is not worth a promise."""
    match script:
        case [Change("add", (Set() | VerdictMap()) as part)]:
            return not part.interval
        case [Change(_, Elements())]:
            return False
        case [_]:
            return True
        case _:
            return False


def without_traps(script: Sequence[Change]) -> tuple[Change, ...]:
    """The script without two things in which nft 1.0.6 goes wrong before it asks the kernel.

    It does not send the elements of a new set that the same script flushes later, so that it does not notice
    what is wrong with them; and it aborts when one script gives a set two types.
    """
    filled: dict[str, tuple[object, ...]] = {}
    kept: list[Change] = []
    for change in script:
        match change.verb, change.part:
            case "add", (Set() | VerdictMap()) as part if filled.setdefault(part.name, kind(part)) != kind(
                part
            ):
                continue
            case "flush", Named(_, name) if name in filled:
                continue
            case _:
                kept.append(change)
    return tuple(kept)


async def content(nft: Nft) -> Table | None:
    listing = await nft.list_table(NAME)
    table = None if listing is None else parse_listing(listing, NAME)
    # nft 1.0.6 does not tell a table's comment in JSON; later versions do, and so does the fake.
    return table and replace(table, comment="")


async def compare(fake: Nft, real: Nft, scripts: Sequence[Sequence[Change]]) -> None:
    await delete_tables(real, NAME)
    for some in (FOUNDATION, *scripts):
        script = print_changes(NAME, some)
        expected, seen = await unsupported_reason(real, script), await unsupported_reason(fake, script)
        assert (expected is None) == (seen is None), f"{script}\nkernel: {expected}\nfake: {seen}"
        if expected is not None and seen is not None and one_mistake(some):
            assert (first_words(expected), script) == (first_words(seen), script)
        assert await content(real) == await content(fake), script


@pytest.mark.kernel
def test_fake_does_what_the_kernel_does() -> None:
    """After each script of any sequence, both said the same and hold the same."""
    namespace = Namespace("fake")
    with asyncio.Runner() as runner:
        real = NftWorker(namespace.path)

        @settings(suppress_health_check=[HealthCheck.too_slow])
        @given(st.lists(scripts.map(without_traps), min_size=1, max_size=8))
        def run(scripts: list[Sequence[Change]]) -> None:
            runner.run(compare(FakeNft(), real, scripts))

        try:
            run()
        finally:
            runner.run(real.close())
            namespace.close()
