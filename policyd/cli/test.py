"""`policyd test`: hold what policies allow to what a file says that they must."""

from __future__ import annotations

import json
import sys
from argparse import Namespace

from policyd.ask.assertions import Assertion, decode_assertions, judge
from policyd.ask.kinds import Kinds
from policyd.cli import terminal
from policyd.cli.flags import add_color_flag
from policyd.cli.inputs import Text, read_inputs
from policyd.cli.parsing import Subparsers, add_command
from policyd.cli.questions import add_question_flags, load_world, print_warnings
from policyd.cli.test_report import FORMATS, report_json, report_text
from policyd.errors import BadInput, Diagnostic, Exit, WrongUsage
from policyd.manifests.single import read_single

USAGE = "TESTS [TESTS ...] -f PATH [OPTIONS]"
TEXT = """\
Hold policies to assertions: TESTS are files of kind ConnectivityTest, which say who must be allowed to reach
whom, and who must not. A failure says why. Exit code 0: all hold; 1: one fails, or is not decided by these
objects."""
EXAMPLES = """\
policyd test tests.yaml -f manifests/
policyd test tests.yaml --git main:deploy -o junit
kubectl get ns,pods,netpol -A -o json | policyd test tests.yaml -f -"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser of the command."""
    parser = add_command(subparsers, "test", TEXT, EXAMPLES, usage=USAGE)
    parser.add_argument("tests", metavar="TESTS", nargs="+", help="a file of kind ConnectivityTest, or -")
    add_question_flags(parser)
    group = parser.add_argument_group("what comes out")
    group.add_argument(
        "-o", "--output", choices=("text", "json", *FORMATS), default="text", help="(%(default)s)"
    )
    add_color_flag(group)


def main(args: Namespace) -> int:
    """Judge all assertions."""
    if [*args.tests, *args.filename, *args.overlay].count("-") > 1:
        raise WrongUsage("standard input can be read once: give `-` once")
    assertions = _read(args.tests)
    asked = load_world(args)
    print_warnings(asked, colored=terminal.uses_color(args.color, sys.stderr))
    kinds = Kinds(asked.world)
    results = [judge(asked.world, each, kinds) for each in assertions]
    if args.output == "json":
        terminal.write(json.dumps(report_json(results), indent=2) + "\n")
    elif args.output == "text":
        terminal.write(report_text(results, colored=terminal.uses_color(args.color, sys.stdout)))
    else:
        terminal.write(FORMATS[args.output](results))
    return Exit.OK if all(each.passed for each in results) else Exit.FINDING


def _read(paths: list[str]) -> list[Assertion]:
    """All assertions. BadInput with all that is wrong in the files."""
    found: list[Assertion] = []
    wrong: list[Diagnostic] = []
    for path in paths:
        for item in read_inputs(path, recursive=False):
            if not isinstance(item, Text):
                wrong.append(item)
                continue
            try:
                found.extend(read_single(item.content, item.name, decode_assertions))
            except BadInput as error:
                wrong.extend(error.diagnostics)
    if wrong:
        raise BadInput(tuple(sorted(wrong)))
    return found
