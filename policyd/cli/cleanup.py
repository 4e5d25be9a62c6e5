"""`policyd cleanup`: remove what policyd has put into the kernel, and what it keeps to put it back there."""

from __future__ import annotations

import argparse
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from policyd.applier.backend import delete_tables
from policyd.applier.choose import open_backend
from policyd.applier.listing import FAMILIES
from policyd.applier.worker import NftWorker
from policyd.cli import terminal
from policyd.cli.parsing import Subparsers, add_command
from policyd.cli.setting_flags import add_setting_flags, settings_of
from policyd.cni.conflist import PLUGIN
from policyd.cni.files import Place, remove
from policyd.errors import EnvironmentRefused, Exit
from policyd.netlink.claim import claim_node
from policyd.node.cni_result import read_results
from policyd.node.element_trial import remove_abandoned_trials
from policyd.node.witness import witness_name
from policyd.saved_state import state_file

TEXT = """\
Remove policyd's tables from this node's kernel: nothing is enforced any more. Refuses while an agent is at
work here, which would put them back. The ruleset in --state-dir, which the next agent would put back,
is removed, too, and policyd-cni from the configuration of the pods' network. With --cni-cache, as the agent
had it, also the tables in the network namespaces of pods."""
EXAMPLES = "policyd cleanup --state-dir /var/lib/policyd"


def add_parser(subparsers: Subparsers) -> None:
    """Add the command's parser."""
    add_setting_flags(
        add_command(subparsers, "cleanup", TEXT, EXAMPLES),
        only=("table", "state_dir", "cni_cache", "cni_conf_dir", "cni_bin_dir"),
    )


def main(args: argparse.Namespace) -> Coroutine[Any, Any, int]:
    """Remove the table; without one, say so."""
    settings = settings_of(args).settings
    place = Place(Path(settings.cni_conf_dir), Path(settings.cni_bin_dir))
    return _main(settings.table, settings.state_dir, settings.cni_cache, place)


async def _main(table: str, state_dir: str, cni_cache: str, place: Place) -> int:
    with claim_node(table):
        # First, as pods could not start with nobody to ask.
        for path in _remove_plugin(place):
            terminal.print_info(f"{PLUGIN} removed: {path}")
        nft = await open_backend("auto")
        try:
            there = [family for family in FAMILIES if await nft.list_table(table, family) is not None]
            await delete_tables(nft, table)
            await delete_tables(nft, witness_name(table))
            await remove_abandoned_trials(nft)
        finally:
            await nft.close()
        inside = await _remove_inside(table, Path(cni_cache)) if cni_cache else 0
        if state_dir:
            state_file(Path(state_dir), table).unlink(missing_ok=True)
    if inside:
        terminal.print_info(f"table inet {table} removed from the network namespaces of {inside} pods")
    names = " and ".join(f"table {family} {table}" for family in there)
    if there:
        terminal.print_info(f"{names} removed: nothing is enforced any more")
    else:
        terminal.print_info(f"table inet {table} is not there: nothing to remove")
    return Exit.OK


async def _remove_inside(table: str, results: Path) -> int:
    """Remove the tables in pods' namespaces: how many there were. Raises EnvironmentRefused."""
    worker, found = NftWorker(), 0
    try:
        for netns in _namespaces(results):
            there = worker.inside(netns)
            if await there.list_table(table) is not None:
                await delete_tables(there, table)
                found += 1
    finally:
        await worker.close()
    return found


def _namespaces(results: Path) -> list[str]:
    """The pods' network namespaces that there are; one that has gone took its table with it."""
    named = sorted({hint.netns for hint in read_results(results) if hint.netns})
    return [netns for netns in named if Path(netns).exists()]


def _remove_plugin(place: Place) -> tuple[Path, ...]:
    try:
        return remove(place)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise EnvironmentRefused(f"{PLUGIN} is still in a chain: {where}{error.strerror or error}") from error
