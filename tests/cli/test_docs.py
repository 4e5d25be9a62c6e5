"""docs/cli.md says what there is: every command, every flag, every exit code, and nothing else."""

from __future__ import annotations

import argparse
import re
from dataclasses import asdict
from importlib import import_module

import pytest

from policyd.cli.compile import FORMATS
from policyd.cli.frame import CLOSED_PIPE, COMMANDS
from policyd.cli.schema import SCHEMAS
from policyd.errors import Exit
from policyd_compiler.options import Options
from tests.cli.calls import ROOT

PAGE = (ROOT / "docs" / "cli.md").read_text()
FLAG = re.compile(r"`(--?[A-Za-z][\w-]*)`")


def sections() -> dict[str, str]:
    parts = re.split(r"^## policyd (\S+)\n", PAGE, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def rows(section: str) -> list[str]:
    """The first cells of the tables of a section."""
    return [line.split("|")[1] for line in section.splitlines() if line.startswith("| ")]


def flags_of(command: str) -> set[str]:
    parser = argparse.ArgumentParser()
    import_module(f"policyd.cli.{command.replace('-', '_')}").add_parser(parser.add_subparsers())
    [subparsers] = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    [found] = subparsers.choices.values()
    return {flag for action in found._actions for flag in action.option_strings} - {"-h", "--help"}


def test_every_command_has_its_section() -> None:
    assert list(sections()) != []
    assert set(sections()) == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_flag_is_documented_and_every_documented_flag_exists(command: str) -> None:
    documented = {flag for cell in rows(sections()[command]) for flag in FLAG.findall(cell)}
    assert documented == flags_of(command)


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_mentioned_of_a_command_exists(command: str) -> None:
    """Flags in the text and in examples, too. Those of other programs stand with the program."""
    text = re.sub(r"`(?:nft|kubectl) [^`]*`|kubectl [^|\n]*\|", "", sections()[command])
    assert set(re.findall(r"(?<![\w-])--[a-z][\w-]*", text)) <= flags_of(command)


def test_every_exit_code_is_documented() -> None:
    documented = {int(cell) for cell in rows(PAGE) if cell.strip().isdecimal()}
    assert documented == {*map(int, Exit), 130, CLOSED_PIPE}


def test_every_output_is_documented() -> None:
    table = sections()["compile"].partition("### What comes out")[2]
    assert [cell.strip() for cell in rows(table)] == ["format", *(f"`{name}`" for name in FORMATS)]
    for name, (suffix, _) in FORMATS.items():
        assert f"| `{name}` | NODE`{suffix}` |" in table
    assert all(f"`policyd schema {name}`" in PAGE for name in SCHEMAS)


def test_every_default_is_documented() -> None:
    """Those that argparse or the compiler knows, of the commands whose flags are written out here."""
    options = asdict(Options())
    parser = argparse.ArgumentParser()
    import_module("policyd.cli.compile").add_parser(parser.add_subparsers())
    [subparsers] = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    for action in subparsers.choices["compile"]._actions:
        default = action.default or options.get(action.dest)
        if isinstance(default, str) and action.option_strings and action.dest != "help":
            assert re.search(rf"`{action.option_strings[-1]}`[^|]*\| `{default}` \|", PAGE), action.dest
