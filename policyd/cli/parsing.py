"""Argument parsers that look alike. Imports nothing but argparse, as every command line passes here."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn, TypeAlias

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 (it has no other name)

#: How the command was called: as itself, or by kubectl as its plugin (`kubectl-policyd`).
PROGRAM = "kubectl policyd" if sys.argv[0].rpartition("/")[2] == "kubectl-policyd" else "policyd"


class Parser(argparse.ArgumentParser):
    """An argument parser without abbreviations, that answers a wrong command line with two lines."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs["formatter_class"] = argparse.RawDescriptionHelpFormatter
        super().__init__(**kwargs, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """End with the exit code of wrong usage."""
        self.exit(2, f"{self.prog}: error: {message}\n(`{self.prog} --help` says what there is)\n")

    def refuse_unknown(self, unknown: Sequence[str]) -> NoReturn:
        """End because of arguments that mean nothing; next to a flag stands the one that may be meant."""
        flags = [flag for action in self._actions for flag in action.option_strings]
        named = []
        for text in unknown:
            # Imported only here, as every command line passes this module.
            matches = import_module("difflib").get_close_matches
            close = matches(text.partition("=")[0], flags, n=1) if text.startswith("--") else []
            named.append(f"{text} (did you mean {close[0]}?)" if close else text)
        self.error(f"unrecognized arguments: {' '.join(named)}{_with_f(flags, unknown)}")


def _with_f(flags: Sequence[str], unknown: Sequence[str]) -> str:
    """What is first tried by who does not know whether paths take -f."""
    if "-f" in unknown and "-f" not in flags:
        return "; here paths are named without -f"
    if "-f" in flags and any(not text.startswith("-") for text in unknown):
        return "; manifests are named with -f PATH"
    return ""


def add_command(
    subparsers: Subparsers, name: str, text: str, examples: str, *, usage: str = "[OPTIONS]"
) -> argparse.ArgumentParser:
    """Add the parser of a command: what it does, command lines that do it, and its arguments in short."""
    called = re.sub(r"\bpolicyd(?= )", PROGRAM, examples) if PROGRAM != "policyd" else examples
    lines = "\n".join(f"  {line}" for line in called.splitlines())
    return subparsers.add_parser(
        name, usage=f"{PROGRAM} {name} {usage}", description=text, epilog=f"examples:\n{lines}"
    )
