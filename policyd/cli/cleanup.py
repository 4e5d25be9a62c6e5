"""`policyd cleanup`: remove what policyd has put into the kernel."""

from __future__ import annotations

import argparse
from collections.abc import Coroutine
from typing import Any

from policyd.agent.claim import claim_node
from policyd.applier.backend import delete_table
from policyd.applier.choose import open_backend
from policyd.cli import terminal
from policyd.cli.flags import add_table_flag
from policyd.cli.parsing import Subparsers, add_command
from policyd.errors import Exit

TEXT = """\
Remove policyd's table from this node's kernel: nothing is enforced any more. Refuses while an agent is at
work here, which would put the table back."""
EXAMPLES = "policyd cleanup"


def add_parser(subparsers: Subparsers) -> None:
    """Add the command's parser."""
    add_table_flag(add_command(subparsers, "cleanup", TEXT, EXAMPLES))


def main(args: argparse.Namespace) -> Coroutine[Any, Any, int]:
    """Remove the table; without one, say so."""
    return _main(args)


async def _main(args: argparse.Namespace) -> int:
    with claim_node(args.table):
        nft = await open_backend("auto")
        try:
            there = await nft.list_table(args.table) is not None
            await delete_table(nft, args.table)
        finally:
            await nft.close()
    what = "removed: nothing is enforced any more" if there else "is not there: nothing to remove"
    terminal.say(f"table inet {args.table} {what}")
    return Exit.OK
