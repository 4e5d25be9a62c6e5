"""All commands with their flags, as the parsers say: what completions and the manual page are made of."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module

from policyd.cli.failures import AGENT
from policyd.cli.frame import COMMANDS
from policyd.cli.parsing import PROGRAM, Parser

#: What completes as a file or a directory.
_PATHS = frozenset({"PATH", "FILE", "DIR", "TESTS", "OLD", "NEW"})


@dataclass(frozen=True, slots=True)
class Flag:
    """`names` as `-o`, `--output`. It takes a value if there is a `metavar`: one of `choices`, if any."""

    names: tuple[str, ...]
    metavar: str
    choices: tuple[str, ...]
    text: str

    @property
    def takes_path(self) -> bool:
        """Whether its value is a file or a directory."""
        return self.metavar in _PATHS


@dataclass(frozen=True, slots=True)
class Described:
    """A command. `words`: what its first argument can be, where that is one of a few."""

    name: str
    summary: str
    usage: str
    text: str
    examples: str
    flags: tuple[Flag, ...]
    words: tuple[str, ...]
    arguments: tuple[tuple[str, str], ...]

    @property
    def takes_paths(self) -> bool:
        """Whether its arguments are files or directories."""
        return any(name in _PATHS for name, _ in self.arguments)


def describe() -> Iterator[Described]:
    """Every command. Imports all of them, which takes a moment."""
    return map(describe_one, COMMANDS)


def describe_one(name: str) -> Described:
    """One command, and the import of no other. Without the agent's part, of its commands only the summary."""
    commands = Parser(prog=PROGRAM).add_subparsers(prog=PROGRAM, parser_class=Parser)
    try:
        import_module(f"policyd.cli.{name.replace('-', '_')}").add_parser(commands)
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] not in AGENT:
            raise
        text = f"{COMMANDS[name].capitalize()}. It needs the agent's part: pip install 'policyd[agent]'"
        return Described(name, COMMANDS[name], "", text, "", (), (), ())
    return _describe(name, COMMANDS[name], commands.choices[name])


def _describe(name: str, summary: str, parser: argparse.ArgumentParser) -> Described:
    actions = parser._actions  # noqa: SLF001 (there is no other way to ask)
    places = [action for action in actions if not action.option_strings]
    return Described(
        name,
        summary,
        (parser.usage or "").removeprefix(f"{PROGRAM} {name}").strip(),
        parser.description or "",
        (parser.epilog or "").removeprefix("examples:\n"),
        tuple(_flag(parser, action) for action in actions if action.option_strings),
        next((_choices(action) for action in places if action.choices), ()),
        tuple((_metavar(action), _help(parser, action)) for action in places),
    )


def _flag(parser: argparse.ArgumentParser, action: argparse.Action) -> Flag:
    takes = action.nargs != 0
    names = tuple(sorted(action.option_strings, key=len))
    return Flag(names, _metavar(action) if takes else "", _choices(action), _help(parser, action))


def _choices(action: argparse.Action) -> tuple[str, ...]:
    return tuple(map(str, action.choices or ()))


def _metavar(action: argparse.Action) -> str:
    if isinstance(action.metavar, str):
        return action.metavar
    return "|".join(_choices(action)) or action.dest.upper()


def _help(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    """The help of a flag, with its default in it."""
    formatter = parser._get_formatter()  # noqa: SLF001
    return " ".join(formatter._expand_help(action).split()) if action.help else ""  # noqa: SLF001
