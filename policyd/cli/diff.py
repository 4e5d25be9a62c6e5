"""`policyd diff`: what a change of manifests opens and closes."""

from __future__ import annotations

import json
import sys
from argparse import Namespace, _ArgumentGroup
from collections.abc import Callable
from dataclasses import replace

from policyd.ask.answers import difference_json
from policyd.ask.diff import Difference, difference
from policyd.cli import terminal
from policyd.cli.diff_nodes import add_node_flags, check, for_nodes
from policyd.cli.diff_pictures import PICTURES, Sides
from policyd.cli.diff_text import diff_github, diff_markdown, diff_text
from policyd.cli.flags import add_color_flag
from policyd.cli.parsing import Subparsers, add_command
from policyd.cli.questions import (
    Asked,
    add_side_flags,
    print_warnings,
    read_overlay,
    read_side,
    require_endpoints,
    world_of,
)
from policyd.errors import Exit, WrongUsage
from policyd.kube.syntax import printable

USAGE = "OLD [NEW] [--with PATH] [OPTIONS]"
TEXT = """\
Say what a change opens and what it closes, between all pods and workloads and with addresses outside, and
which lines cause it. OLD and NEW are each a file, a directory with its folders, `git:REV[:PATH]`, `live` for
the cluster as it is, or `bundle:FILE`, a support bundle. --with puts objects over NEW, or over OLD without
NEW, as `kubectl apply` would. Exit code 0: nothing differs; 1: something does."""
EXAMPLES = """\
policyd diff git:main:deploy deploy
policyd diff git:main . -o md
policyd diff live --with new.yaml --fail-on opened
policyd diff live --with new.yaml --cost --flows kernel
policyd diff old/ new/ -o json"""

_FORMATS: dict[str, Callable[[Difference], str]] = {
    "json": lambda found: json.dumps(difference_json(found), indent=2) + "\n",
    "md": diff_markdown,
    "github": diff_github,
}


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser of the command."""
    parser = add_command(subparsers, "diff", TEXT, EXAMPLES, usage=USAGE)
    parser.add_argument("old", metavar="OLD", help="how it was")
    parser.add_argument("new", metavar="NEW", nargs="?", help="how it is to be")
    add_side_flags(parser)
    add_node_flags(parser)
    _add_output_flags(parser.add_argument_group("what comes out"))


def _add_output_flags(group: _ArgumentGroup) -> None:
    group.add_argument(
        "-o", "--output", choices=("text", *_FORMATS, *PICTURES), default="text",
        help="md is a comment for a pull request, github annotations of its lines, html a page (%(default)s)",
    )  # fmt: skip
    group.add_argument("--only", choices=("opened", "closed"), help="leave out the other")
    group.add_argument(
        "--fail-on", choices=("any", "opened", "closed", "never"), default="any",
        help="what makes the exit code 1 (%(default)s)",
    )  # fmt: skip
    add_color_flag(group)


def main(args: Namespace) -> int:
    """Answer the question."""
    if args.new is None and not args.overlay:
        raise WrongUsage("what is it compared with? give NEW, or --with PATH to put over OLD")
    if [args.old, args.new, args.flows, *args.overlay].count("-") > 1:
        raise WrongUsage("standard input can be read once: give `-` once")
    check(args)
    # What both sides are made of is read once: standard input cannot be read again, and a cluster changes.
    objects = read_side(args.old, args)
    old = world_of(objects, args)
    new = world_of(objects if args.new is None else read_side(args.new, args), args, read_overlay(args))
    require_endpoints(old, new)
    colored = terminal.uses_color(args.color, sys.stderr)
    for side in (new,) if args.new is None else (old, new):
        print_warnings(side, colored=colored)
    found = difference(old.world, new.world)
    _hint(args.new, new)
    more = for_nodes(args, old.world, new.world)
    failed = _fails(found, args.fail_on)
    if args.only == "opened":
        found = replace(found, closed=(), outside_closed=())
    if args.only == "closed":
        found = replace(found, opened=(), outside_opened=())
    lines = "".join(f"{line}\n" for line in more.lines)
    if args.output == "text":
        terminal.write(diff_text(found, colored=terminal.uses_color(args.color, sys.stdout)) + lines)
    elif args.output == "json":
        terminal.write(json.dumps({**difference_json(found), **more.fields}, indent=2) + "\n")
    elif args.output in PICTURES:
        terminal.write(PICTURES[args.output](Sides(old.world, new.world, found, more.lines)))
    elif args.output == "md" and lines:
        terminal.write(f"{diff_markdown(found)}\n```\n{lines}```\n")
    else:
        terminal.write(_FORMATS[args.output](found))
    return Exit.FINDING if failed else Exit.OK


def _hint(name: str | None, new: Asked) -> None:
    """A change alone is easily taken for the new side."""
    if name is not None and not new.world.endpoints:
        terminal.print_info(
            f"{printable(name)} holds no pod and no workload, so that all are gone: if it is only what "
            f"changes, put it over the old side: --with {printable(name)}"
        )


def _fails(found: Difference, on: str) -> bool:
    match on:
        case "opened":
            return bool(found.opened or found.outside_opened)
        case "closed":
            return bool(found.closed or found.outside_closed)
        case "never":
            return False
        case _:
            return not found.empty
