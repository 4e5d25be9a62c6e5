"""`python -m tests.faults [WORD ...]`: plant every fault in turn; exit code 1 if one is not noticed."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from tests.faults.catalogue import FAULTS
from tests.faults.report import run

ROOT = Path(__file__).resolve().parent.parent.parent
#: Where there is only one processor, half of the tests wait for packets anyway.
LEAST_PROCESSES = 2


def main() -> int:
    """Read the command line, and hunt."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument(
        "words", nargs="*", metavar="WORD", help="only faults with one of these in their name"
    )
    parser.add_argument("--processes", type=int, default=max(LEAST_PROCESSES, os.cpu_count() or 1))
    chosen = parser.parse_args()
    faults = [f for f in FAULTS if not chosen.words or any(word in f.name for word in chosen.words)]
    if not faults:
        parser.error("no fault is named so; without a word all are tried")
    if chosen.processes < 1:
        parser.error("--processes must be 1 or more")
    return run(ROOT, faults, chosen.processes)


if __name__ == "__main__":
    sys.exit(main())
