"""The kernel lists every row of the table of expressions as it was sent, in both families."""

from __future__ import annotations

import subprocess
from asyncio import to_thread
from itertools import permutations

import pytest

from policyd.applier.backend import Nft, NftRefused
from policyd.applier.program import NftProgram
from policyd.applier.worker import NftWorker
from policyd_compiler.nft.ast import Drop, Rule, Table, TableFamily
from policyd_compiler.nft.json_parser import parse_listing
from policyd_compiler.nft.json_printer import print_replace_json
from policyd_compiler.nft.matches import misread
from policyd_compiler.nft.printer import print_replace, print_rule
from tests.applier.expressions import FAMILIES, NAME, every_rule, of_targets, samples, table

pytestmark = pytest.mark.kernel


async def listed(nft: Nft, family: TableFamily) -> Table | None:
    text = await nft.list_table(NAME, family)
    return None if text is None else parse_listing(text, NAME, family)


@pytest.mark.parametrize("family", FAMILIES)
async def test_what_is_sent_as_text_comes_back(netns: str, family: TableFamily) -> None:
    sent, nft = table(family, every_rule(family)), NftProgram(netns)
    await nft.run(print_replace(sent))
    held = await listed(nft, family)
    assert held is not None
    for one, other in zip(sent.chains[0].rules, held.chains[0].rules, strict=True):
        assert one == other
    assert sent == held


@pytest.mark.parametrize("family", FAMILIES)
async def test_what_is_sent_as_json_comes_back(netns: str, family: TableFamily) -> None:
    rules = [rule for rule in every_rule(family) if not of_targets(rule)]
    sent, nft = table(family, rules, targets=False), NftProgram(netns)
    done = await to_thread(
        subprocess.run,
        ["nsenter", f"--net={netns}", "--", "nft", "-j", "-f", "-"],
        input=print_replace_json(sent),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert sent == await listed(nft, family)


@pytest.mark.parametrize("family", FAMILIES)
async def test_every_pair_of_matches_that_is_printed_comes_back(netns: str, family: TableFamily) -> None:
    """nft lists all pairs of matches as they were sent, but for those that we refuse to print."""
    nft = NftWorker(netns)
    kept: list[Rule] = []
    try:
        await nft.run(print_replace(table(family, ())))
        for pair in permutations(samples(family), 2):
            if misread(pair) is None:
                rule = Rule(Drop(), pair)
                try:
                    await nft.run(f"add rule {family} {NAME} pre {print_rule(rule)}\n")
                except NftRefused:
                    continue  # a contradiction
                kept.append(rule)
        held = await listed(nft, family)
    finally:
        await nft.close()
    assert held is not None
    assert tuple(kept) == held.chains[0].rules
    assert len(kept) > 1000
