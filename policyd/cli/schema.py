"""`policyd schema`: the JSON schema of an output, for who reads it with a program."""

from __future__ import annotations

import json
from argparse import Namespace

from policyd.cli import terminal
from policyd.cli.parsing import Subparsers, add_command
from policyd_compiler import ir_json

SCHEMAS = {"ir": ir_json.schema}


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser of the command."""
    parser = add_command(
        subparsers,
        "schema",
        "Print the JSON schema (2020-12) of an output of policyd.",
        "policyd schema ir > ir.schema.json",
        usage="ir",
    )
    parser.add_argument(
        "of", metavar="ir", choices=sorted(SCHEMAS), help="what `policyd compile -o ir` prints"
    )


def main(args: Namespace) -> int:
    """Print the schema."""
    terminal.write(json.dumps(SCHEMAS[args.of](), indent=2) + "\n")
    return 0
