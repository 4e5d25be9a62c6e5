"""`policyd version`: the version, also for programs."""

from __future__ import annotations

import json
import platform
from argparse import Namespace

from policyd.cli import terminal
from policyd.cli.parsing import Subparsers, add_command
from policyd.version import VERSION


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser of the command."""
    parser = add_command(
        subparsers, "version", "Print the version.", "policyd version -o json", usage="[-o FORMAT]"
    )
    parser.add_argument(
        "-o", "--output", choices=("text", "json"), default="text", help="text or json (%(default)s)"
    )


def main(args: Namespace) -> int:
    """Print it."""
    if args.output == "text":
        terminal.write(f"policyd {VERSION}\n")
        return 0
    found = {
        "apiVersion": "policyd/v1",
        "kind": "Version",
        "version": VERSION,
        "python": platform.python_version(),
    }
    terminal.write(json.dumps(found, indent=2) + "\n")
    return 0
