"""The command line's frame: finds the command, runs it, and makes an exit code of whatever happens.

Imports next to nothing, and of the commands only the one that is run: `policyd --version` must be quick.
README.md next to this file says how to add a command.
"""

from __future__ import annotations

import gc
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NoReturn, Protocol, TextIO, cast

from policyd.cli.parsing import PROGRAM, Parser, Subparsers
from policyd.version import VERSION

#: Command → what `policyd --help` says of it. Its module has the same name, with `_` for `-`.
GROUPS = {
    "questions, from manifests or a cluster": {
        "why": "say why a connection is allowed or denied",
        "reach": "say who can talk to whom",
        "diff": "say what a change opens and closes",
        "lint": "find what is wrong with policies",
        "test": "hold policies to assertions on connectivity",
        "verify": "prove that a node's ruleset is what the policies mean",
    },
    "enforcement, on a node": {
        "run": "enforce policies on this node: the agent",
        "apply": "bring manifests into force on this node, once",
        "compile": "turn manifests into the ruleset of a node",
        "status": "show what is enforced on this node",
        "doctor": "examine this node, and say how to fix it",
        "support-bundle": "gather what is needed to replay this node's state",
        "cleanup": "remove what policyd has put into the kernel",
    },
    "all else": {
        "convert": "turn AdminNetworkPolicies into ClusterNetworkPolicies",
        "config": "show the settings that an agent would have",
        "schema": "print the JSON schema of an output",
        "demo": "show policyd at work on a throw-away node",
        "completion": "print what makes a shell complete commands and flags",
        "man": "print the manual page",
        "version": "print the version",
    },
}
#: They read, answer and end.
OFFLINE = frozenset((*GROUPS["questions, from manifests or a cluster"], "compile", "convert"))
COMMANDS = {name: text for group in GROUPS.values() for name, text in group.items()}
BEGIN = f"""\
to begin with, in a repository of manifests:
  {PROGRAM} reach -f . -R                            who can talk to whom
  {PROGRAM} why -f . -R shop/web shop/db:5432        why a connection is denied
  {PROGRAM} diff git:main .                          what a change opens
"""
CLOSED_PIPE = 141  # as shells say it: 128 and the number of SIGPIPE
EXIT_ENVIRONMENT = 4  # policyd.errors.Exit.ENVIRONMENT, which takes too long to import


class Command(Protocol):
    """What the module of a command has."""

    def add_parser(self, subparsers: Subparsers) -> None:
        """Add the parser of the command."""

    def main(self, args: Namespace) -> int | Coroutine[Any, Any, int]:
        """Run the command; its exit code."""


def run(arguments: Sequence[str]) -> int:
    """Run a command line; the exit code. Only Ctrl-C, and argparse's way to end, leave as exceptions."""
    try:
        return _run(arguments)
    except BrokenPipeError:  # who reads our output has seen enough
        _silence(sys.stdout, sys.stderr)
        return CLOSED_PIPE
    except OSError:  # standard error cannot be written either, so nothing can be reported
        _silence(sys.stdout, sys.stderr)
        return EXIT_ENVIRONMENT
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                if stream is not None:
                    stream.flush()
            except OSError:  # it was reported where it can be, and is the exit code's matter no more
                _silence(stream)


def _run(arguments: Sequence[str]) -> int:
    args = Namespace()
    try:
        try:
            command, args = _parse(arguments)
            with _resting(arguments[0] in OFFLINE):
                return _finish(command.main(args))
        finally:
            _flush()
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 the last resort, which says that it is our bug
        return cast(Callable[..., int], import_module("policyd.cli.failures").report)(error, args)


@contextmanager
def _resting(rests: bool) -> Iterator[None]:  # noqa: FBT001 one thing, in one place
    """Let Python not look for cycles: of a cluster it looks through every object again and again, for a third
    of the time, and finds none."""
    looks = gc.isenabled()
    if rests:
        gc.disable()
    try:
        yield
    finally:
        if looks:
            gc.enable()


def _flush() -> None:
    if sys.stdout is not None:  # it was closed before we came
        sys.stdout.flush()


def _silence(*streams: TextIO | None) -> None:
    """Let what is left in buffers go nowhere; at exit it would be tried again, and reported."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in streams:
        if stream is not None:
            os.dup2(nowhere, stream.fileno())


def _finish(result: int | Coroutine[Any, Any, int]) -> int:
    if isinstance(result, int):
        return result
    return cast(int, import_module("asyncio").run(result))


def _parse(arguments: Sequence[str]) -> tuple[Command, Namespace]:
    parser = _parser()
    arguments = _in_words(arguments)
    name = arguments[0] if arguments else ""
    if not name or name.startswith("-"):
        _, unknown = parser.parse_known_args(arguments)
        if unknown:
            parser.refuse_unknown(unknown)
        parser.exit(2, f"{parser.format_help()}\n{parser.prog}: error: a command is needed\n")
    if name not in COMMANDS:
        _refuse_command(parser, name)
    command = cast(Command, import_module(f"policyd.cli.{name.replace('-', '_')}"))
    commands: Subparsers = parser.add_subparsers(prog=PROGRAM, parser_class=Parser)
    command.add_parser(commands)
    args, unknown = parser.parse_known_args(arguments)
    if unknown:
        cast(Parser, commands.choices[name]).refuse_unknown(unknown)
    return command, args


def _in_words(arguments: Sequence[str]) -> Sequence[str]:
    """`help` and `help COMMAND` as the flag that does the same."""
    match arguments:
        case ["help"]:
            return ("--help",)
        case ["help", name]:
            return (name, "--help")
        case _:
            return arguments


def _refuse_command(parser: Parser, name: str) -> NoReturn:
    close = import_module("difflib").get_close_matches(name, COMMANDS, n=1, cutoff=0.5)
    hint = f"did you mean `{PROGRAM} {close[0]}`?" if close else f"there are {', '.join(COMMANDS)}"
    parser.error(f"there is no command {name!r}; {hint}")


def _parser() -> Parser:
    width = max(map(len, COMMANDS)) + 2
    groups = "\n".join(
        f"{title}:\n{''.join(f'  {name:{width}}{text}{chr(10)}' for name, text in group.items())}"
        for title, group in GROUPS.items()
    )
    parser = Parser(
        prog=PROGRAM,
        usage=f"{PROGRAM} COMMAND [ARGUMENTS]",
        description="Kubernetes NetworkPolicies: answers from manifests, and enforcement with nftables.",
        epilog=f"{groups}\n{BEGIN}\n`{PROGRAM} COMMAND --help` says more about one of them.",
    )
    parser.add_argument("--version", action="version", version=f"policyd {VERSION}", help="print the version")
    return parser
