"""`policyd demo`: a throw-away node, and what policyd does to real connections on it."""

from __future__ import annotations

import os
import shutil
import sys
from argparse import Namespace
from pathlib import Path

from policyd.cli import terminal
from policyd.cli.flags import add_color_flag
from policyd.cli.parsing import Subparsers, add_command
from policyd.demo.matrix import colored, plain
from policyd.demo.scene import read_scene
from policyd.demo.screen import Screen
from policyd.demo.show import show

TEXT = """\
Show policyd at work, in some ten seconds: network namespaces become a node and its pods, the agent enforces
policies there, and real connections show what these do. It needs root, or the root of a user namespace,
touches nothing outside, and leaves nothing behind. If a connection is not as expected, the exit code is 1."""
EXAMPLES = """\
sudo policyd demo
unshare --user --map-root-user --net policyd demo"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser of the command."""
    add_color_flag(add_command(subparsers, "demo", TEXT, EXAMPLES))


def main(args: Namespace) -> int:
    """Show it."""
    paint = colored if terminal.uses_color(args.color, sys.stdout) else plain
    status = sys.stderr if _on_terminals() else None
    return show(read_scene(), Screen(terminal.write, paint, status), _program())


def _on_terminals() -> bool:
    streams = (sys.stdout, sys.stderr)
    return all(s is not None and s.isatty() for s in streams) and os.environ.get("TERM") != "dumb"


def _program() -> str:
    """How to call this command line from here."""
    if shutil.which("policyd"):
        return "policyd"
    script = Path(sys.executable).with_name("policyd")
    return os.path.relpath(script) if script.exists() else f"{sys.executable} -m policyd"
