"""`policyd apply`: bring what manifests say into force on this node, once, as the agent does it."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

from policyd.agent.attachment_watch import read_attachments
from policyd.agent.connections.revoker import Revoker
from policyd.agent.reporting.status import Swap
from policyd.applier.apply import Applied, Applier, replacement
from policyd.applier.backend import Nft
from policyd.applier.choose import open_backend, retry_idempotent
from policyd.cli import terminal
from policyd.cli.flags import (
    add_color_flag,
    add_compiler_flags,
    add_manifest_flags,
    node_name,
)
from policyd.cli.loaded import LoadedCluster
from policyd.cli.loading import load_cluster
from policyd.cli.nodes import build_warnings, choose_node
from policyd.cli.parsing import Subparsers, add_command
from policyd.cluster.events import Upsert
from policyd.cluster.state import ClusterState
from policyd.doctor.kernel_table import table_names
from policyd.errors import EnvironmentRefused, Exit, WrongUsage
from policyd.kube.syntax import printable
from policyd.lint.certain import certain_findings, warning
from policyd.netlink.claim import claim_node
from policyd.node.bridge_guard import BridgeGuard
from policyd.object_store import ObjectStore
from policyd.obs.metrics import Metrics
from policyd.pipeline import Build, build

USAGE = "-f PATH [--node NAME] [OPTIONS]"
TEXT = """\
Bring into force on this node what manifests say, as the agent does it: what is new is put next to what is in
force, then taken into use in one transaction, so that no packet is judged by half of each. Then connections
that are denied now are ended, what is left over is removed, and the kernel is compared with the ruleset.
It does so once: `policyd run` follows changes. Refuses while an agent is at work here."""
EXAMPLES = """\
policyd apply -f manifests/ --node worker-1
policyd apply -f manifests/ --node worker-1 --dry-run"""
#: Differences named in a message.
_NAMED = 3


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser of the command."""
    parser = add_command(subparsers, "apply", TEXT, EXAMPLES, usage=USAGE)
    parser.add_argument("files", nargs="*", help=argparse.SUPPRESS)
    add_manifest_flags(parser)
    add_compiler_flags(parser)
    group = parser.add_argument_group("what is done")
    group.add_argument(
        "--node",
        type=node_name,
        metavar="NAME",
        help="the name of this node; not needed when only one is named in what is read",
    )
    group.add_argument(
        "--live-connections",
        choices=("cut", "keep"),
        default="cut",
        help="whether a connection that is denied now is ended (%(default)s)",
    )
    group.add_argument(
        "--dry-run", action="store_true", help="ask the kernel, say what would be done, and change nothing"
    )
    add_color_flag(group)


def main(args: argparse.Namespace) -> Coroutine[Any, Any, int]:
    """Read; the rest is done in the loop, as the kernel is asked before anything is compiled."""
    if args.files:
        files = "".join(f" -f {printable(name)}" for name in args.files)
        raise WrongUsage(f"files are named with -f, each with its own:{files}")
    loaded = load_cluster(args)
    loaded = replace(loaded, node=choose_node(loaded.node, loaded.state))
    colored = terminal.uses_color(args.color, sys.stderr)
    if args.dry_run:
        return _try(loaded, colored=colored)
    return _apply(loaded, colored=colored, cut=args.live_connections == "cut")


def with_attachments(state: ClusterState, node: str) -> ClusterState:
    """The cluster with what this node's links say of its pods, as the agent reads them."""
    store = ObjectStore(node, asyncio.Event())
    store.apply([Upsert(state.kinds.key(item), item) for item in state.objects()])
    try:
        return replace(state, attachments=read_attachments(store.local_pods(), state.attachments))
    except OSError as error:
        terminal.print_info(f"warning: interfaces cannot be read, so pods are not bound to them: {error}")
        return state


async def _build(nft: Nft, loaded: LoadedCluster, *, colored: bool) -> Build:
    """Compile, and say what is odd."""
    node = loaded.node or ""
    state = with_attachments(loaded.state, node)
    guard = BridgeGuard(nft, loaded.options)
    attachments, unguarded = await guard.guardable(state.attachments)
    built = build(replace(state, attachments=attachments), node, loaded.options)
    certain = certain_findings(state.objects(), loaded.ignored)
    said = build_warnings(state, built, certain, one_node=True)
    diagnostics = (*loaded.warnings, *map(warning, certain), *said)
    terminal.print_diagnostics(tuple(dict.fromkeys(diagnostics)), colored=colored)
    if unguarded:
        terminal.print_info(f"warning: {printable(unguarded)}")
    return built


async def _try(loaded: LoadedCluster, *, colored: bool) -> int:
    nft = await open_backend("auto")
    try:
        built = await _build(nft, loaded, colored=colored)
        applier = Applier(nft, built.table.name)
        await retry_idempotent(applier.read_back)
        await applier.check(replacement(built.table))
        steps = applier.planned(built.table)
    finally:
        await nft.close()
    where = f"{built.snapshot.node}: {table_names(built.table)}"
    if steps:
        terminal.print_info(
            f"{where}: the kernel would take generation {applier.generation + 1}; nothing was changed"
        )
    else:
        terminal.print_info(f"{where}: nothing to change, generation {applier.generation} is in force")
    return Exit.OK


async def _apply(loaded: LoadedCluster, *, colored: bool, cut: bool) -> int:
    table = loaded.options.table
    with claim_node(table):
        nft = await open_backend("auto")
        try:
            built = await _build(nft, loaded, colored=colored)
            applier = Applier(nft, table)
            await retry_idempotent(applier.read_back)
            applied = await applier.apply(built.table, exact=True)
            if applier.lags:  # peers changed, too, and stand beside by other names: on to the plain ones
                await _finish(applier)
                applied = replace(await applier.apply(built.table, exact=True), before=applied.before)
            terminal.print_info(f"{built.snapshot.node}: {_what(applied, built)}")
            await _finish(applier)
            if cut:
                await _cut(built, applied)
            found = await applier.verify()
        finally:
            await nft.close()
    if found:
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        text = printable("; ".join(found[:_NAMED]))
        terminal.print_info(f"error: somebody else changes {table_names(built.table)}: {text}{more}")
        return Exit.FINDING
    return Exit.OK


def _what(applied: Applied, built: Build) -> str:
    stats = built.stats
    size = f"{stats.pods} pods, {stats.isolated} isolated, {stats.rules} rules"
    if not applied.steps:
        return f"nothing to change, generation {applied.generation} is in force: {size}"
    return f"generation {applied.generation} is in force: {size}"


async def _finish(applier: Applier) -> None:
    try:
        await applier.sweep()
    except EnvironmentRefused as error:  # it is in nobody's way, and the next apply tries again
        terminal.print_info(f"warning: what is left of the ruleset before could not be removed: {error}")


async def _cut(built: Build, applied: Applied) -> None:
    """End connections that the ruleset denies, whatever was in force when they were opened."""
    revoker = Revoker(Metrics())
    revoker.note(Swap(None, built.table, applied.generation))
    try:
        ended = await revoker.settle()
    except EnvironmentRefused as error:
        terminal.print_info(f"warning: live connections that are denied now cannot be ended: {error}")
        return
    if ended:
        terminal.print_info(f"{ended} live connection{'' if ended == 1 else 's'} denied now: ended")
