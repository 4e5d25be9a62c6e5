"""`policyd doctor`: what this node has, what it lacks, and how to fix that."""

from __future__ import annotations

import argparse
from collections.abc import Coroutine
from typing import Any

from policyd.cli import terminal
from policyd.cli.parsing import Subparsers, add_command
from policyd.cli.setting_flags import EXAMINED, add_setting_flags, settings_of
from policyd.doctor.agent_client import settings_as_agent
from policyd.doctor.examination import examine
from policyd.doctor.node_lines import Line, print_json, print_lines
from policyd.errors import Exit

TEXT = """\
Examine this node: the kernel, nft, sysctls, interfaces, the table, the agent, the state on disk, the API
server. Changes nothing, needs no agent, and says what it could not see without root."""
EXAMPLES = "policyd doctor\npolicyd doctor --pod-interfaces cni0 -o json"


def add_parser(subparsers: Subparsers) -> None:
    """Add the command's parser."""
    parser = add_command(subparsers, "doctor", TEXT, EXAMPLES)
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="form (%(default)s)")
    add_setting_flags(parser, EXAMINED)


def main(args: argparse.Namespace) -> Coroutine[Any, Any, int]:
    """Examine, and print it."""
    return _main(args)


async def _main(args: argparse.Namespace) -> int:
    found = await examine(await settings_as_agent(settings_of(args)))
    terminal.write(print_json(found) if args.output == "json" else print_lines(found))
    return exit_code(found)


def exit_code(lines: tuple[Line, ...]) -> Exit:
    """0: nothing is wrong; 1: something is; 4: nothing was seen to be wrong, but not all could be seen."""
    states = {line.state for line in lines}
    return Exit.FINDING if "FAIL" in states else Exit.ENVIRONMENT if "unseen" in states else Exit.OK
