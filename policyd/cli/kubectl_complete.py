"""`kubectl_complete-policyd`: kubectl runs it to complete `kubectl policyd …` (kubectl 1.26 and later).

Its arguments are the words after `policyd`, the last of them being written. It prints a candidate on each
line, with its description after a tab, and in the last line whether files may be offered, as Cobra does.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from policyd.cli import terminal
from policyd.cli.described import Described, describe_one
from policyd.cli.frame import COMMANDS

FILES, NO_FILES = 0, 4  # cobra.ShellCompDirectiveDefault, cobra.ShellCompDirectiveNoFileComp


def main() -> int:
    """Print what can stand in the place of the last argument."""
    candidates, directive = complete(sys.argv[1:] or [""])
    lines = (f"{word}\t{text}" if text else word for word, text in candidates)
    terminal.write("".join(f"{line}\n" for line in (*lines, f":{directive}")))
    return 0


def complete(words: Sequence[str]) -> tuple[list[tuple[str, str]], int]:
    """Candidates with their descriptions, and whether files are offered where there are none."""
    *before, current = words
    if not before:
        return _starting(current, COMMANDS.items()), NO_FILES
    if before[0] not in COMMANDS:
        return [], NO_FILES
    candidates, takes_files = _offered(describe_one(before[0]), before[-1], current)
    return _starting(current, candidates), FILES if takes_files else NO_FILES


def _offered(command: Described, previous: str, current: str) -> tuple[Iterable[tuple[str, str]], bool]:
    for flag in command.flags:
        if flag.metavar and previous in flag.names:
            return [(choice, "") for choice in flag.choices], flag.takes_path
    if current.startswith("-"):
        return [(flag.names[-1], flag.text) for flag in command.flags], False
    return [(word, "") for word in command.words], command.takes_paths


def _starting(current: str, candidates: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(word, text) for word, text in candidates if word.startswith(current)]
