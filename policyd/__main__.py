"""The entry point, `policyd` and `python -m policyd`. Only starts the command line's frame."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line with the arguments of this process; the exit code."""
    try:
        from policyd.cli.frame import run  # noqa: PLC0415 (so that Ctrl-C while importing is quiet, too)

        return run(sys.argv[1:])
    except KeyboardInterrupt:
        return 130  # as shells say it: 128 and the number of SIGINT


if __name__ == "__main__":
    sys.exit(main())
