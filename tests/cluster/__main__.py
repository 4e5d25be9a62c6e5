"""The commands of the test cluster: `python -m tests.cluster build|down`."""

from __future__ import annotations

import argparse
import sys
from typing import get_args

from policyd.errors import PolicydError
from tests.cluster import folder, programs, requirements
from tests.cluster.requirements import Part

PARTS: tuple[Part, ...] = get_args(Part)


def build(arguments: argparse.Namespace) -> None:
    """Install the Debian packages and build the programs of the parts that are named."""
    parts: list[Part] = arguments.parts
    requirements.install(*parts)
    programs.build(*parts)


def down(arguments: argparse.Namespace) -> None:
    """Remove what runs left whose process is dead, and say what lives."""
    for path in folder.sweep():
        sys.stdout.write(f"removed {path}\n")
    for path in folder.runs():
        sys.stdout.write(f"in use: {path}\n")


def main() -> int:
    """Run one command and give its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    commands = parser.add_subparsers(required=True)
    build_parser = commands.add_parser("build", help=build.__doc__)
    build_parser.add_argument("parts", nargs="+", choices=PARTS, metavar="PART", help=", ".join(PARTS))
    build_parser.set_defaults(command=build)
    commands.add_parser("down", help=down.__doc__).set_defaults(command=down)
    arguments = parser.parse_args()
    try:
        arguments.command(arguments)
    except PolicydError as error:
        sys.stderr.write(f"policyd: {error}\n")
        return int(error.exit_code)
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
