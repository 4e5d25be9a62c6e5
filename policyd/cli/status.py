"""`policyd status`: what is enforced on this node, by its agent's word, or else by the kernel's."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Coroutine
from dataclasses import asdict
from typing import Any

from policyd.agent_api import API_VERSION, AgentState
from policyd.applier.choose import open_backend
from policyd.cli import terminal
from policyd.cli.parsing import Subparsers, add_command
from policyd.cli.setting_flags import add_setting_flags, settings_of
from policyd.config import Settings
from policyd.doctor.agent_client import NoAnswer, ask_state
from policyd.doctor.disk import read_disk
from policyd.doctor.kernel_table import KernelTable, read_table
from policyd.doctor.status_lines import Remains, lines
from policyd.errors import EnvironmentRefused, Exit
from policyd.netlink.claim import holder

TEXT = """\
Show what is enforced on this node, since when, and what keeps it from being what the objects say. Asks the
agent; where none answers, reads the kernel's table and the state on disk."""
EXAMPLES = "policyd status\npolicyd status -o wide\npolicyd status --table other -o json"


def add_parser(subparsers: Subparsers) -> None:
    """Add the command's parser."""
    parser = add_command(subparsers, "status", TEXT, EXAMPLES)
    parser.add_argument(
        "-o", "--output", choices=("text", "wide", "json"), default="text",
        help="wide also has each pod, with the policies that isolate it, and each finding (%(default)s)",
    )  # fmt: skip
    add_setting_flags(parser, ("node", "table", "backend", "state_dir", "run_dir"))


def main(args: argparse.Namespace) -> Coroutine[Any, Any, int]:
    """Ask the agent, else the kernel, and print it."""
    return _main(args)


async def _main(args: argparse.Namespace) -> int:
    settings = settings_of(args).settings
    answer = await ask_state(settings.socket())
    found = await _read_remains(settings, answer.text) if isinstance(answer, NoAnswer) else answer
    if args.output == "json":
        terminal.write(print_json(found))
    else:
        told = lines(found, time.time(), wide=args.output == "wide")
        terminal.write("".join(f"{line}\n" for line in told))
    return exit_code(found)


def exit_code(found: AgentState | Remains) -> Exit:
    """0: enforcing; 1: not, or no agent is at work; 4: that is not known."""
    enforcing = is_enforcing(found)
    return Exit.ENVIRONMENT if enforcing is None else Exit.OK if enforcing else Exit.FINDING


def is_enforcing(found: AgentState | Remains) -> bool | None:
    """Whether what is in force is what the objects say; None where that is not known."""
    if isinstance(found, AgentState):
        return found.enforcing
    return None if found.holder or isinstance(found.kernel, str) else False


def print_json(found: AgentState | Remains) -> str:
    """The same for programs."""
    value: dict[str, object] = {
        "apiVersion": API_VERSION,
        "kind": "NodeStatus",
        "enforcing": is_enforcing(found),
        "agent": None,
    }
    if isinstance(found, AgentState):
        value["agent"] = found.model_dump(mode="json")
    else:
        value.update(asdict(found))
    return json.dumps(value, indent=2) + "\n"


async def _read_remains(settings: Settings, why: str) -> Remains:
    kernel: KernelTable | str | None
    try:
        nft = await open_backend(settings.backend)
        try:
            kernel = await read_table(nft, settings.table)
        finally:
            await nft.close()
    except EnvironmentRefused as error:
        kernel = str(error)
    return Remains(why, holder(settings.table), kernel, read_disk(settings))
