"""`policyd man`: the manual page, made from the commands as they are."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable, Iterator

from policyd.cli import terminal
from policyd.cli.described import Described, describe
from policyd.cli.parsing import Subparsers, add_command
from policyd.version import VERSION

EXIT_CODES = (
    ("0", "done; allowed; nothing differs; nothing found"),
    ("1", "denied, or not decided; something differs; a finding; something is not as it should be"),
    ("2", "the command line is wrong"),
    ("3", "manifests or settings are wrong"),
    ("4", "the machine, the kernel or the cluster does not have what it takes"),
    ("70", "a bug of policyd"),
)


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser of the command."""
    add_command(
        subparsers,
        "man",
        "Print the manual page of all commands, for section 1.",
        "policyd man | man -l -\npolicyd man > /usr/local/share/man/man1/policyd.1",
        usage="",
    )


def main(_args: Namespace) -> int:
    """Print the page."""
    terminal.write(page(describe()))
    return 0


def page(commands: Iterable[Described]) -> str:
    """The page in the macros of man(7)."""
    lines = [
        f'.TH POLICYD 1 "" "policyd {VERSION}" "User Commands"',
        ".SH NAME",
        "policyd \\- a Kubernetes NetworkPolicy engine on nftables",
        ".SH SYNOPSIS",
        ".B policyd",
        "\\fICOMMAND\\fR [\\fIARGUMENTS\\fR]",
        ".SH COMMANDS",
    ]
    for command in commands:
        lines.extend(_command(command))
    lines.append(".SH EXIT STATUS")
    for code, text in EXIT_CODES:
        lines += [".TP", f".B {code}", _text(text)]
    return "\n".join(lines) + "\n"


def _command(command: Described) -> Iterator[str]:
    yield f'.SS "policyd {_text(command.name)} {_text(command.usage).replace(chr(34), "")}"'
    yield from (_line(line) for line in command.text.splitlines())
    for name, text in command.arguments:
        yield from (".TP", f".I {_text(name)}", _line(text))
    for flag in command.flags:
        names = ", ".join(f"\\fB{_text(name)}\\fR" for name in reversed(flag.names))
        value = f" \\fI{_text('|'.join(flag.choices) or flag.metavar)}\\fR" if flag.metavar else ""
        yield from (".TP", names + value, _line(flag.text))
    if command.examples:
        yield from (".PP", "Examples:", ".PP", ".nf")
        yield from (_line(line) for line in command.examples.splitlines())
        yield ".fi"


def _line(text: str) -> str:
    """A line that is no request."""
    escaped = _text(text)
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


def _text(text: str) -> str:
    return text.replace("\\", "\\e").replace("-", "\\-")
