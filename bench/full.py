"""`python -m bench.full [NAME…]`: every figure with an aim that one machine can measure, next to its aim.

Prints a table as it measures, with the ratio of each median to the stored baseline's, and writes JSON. Exit
code 1 if an aim is missed or a row with an aim could not be measured: each is named at the end; 2 for an
unknown name. Needs root, or `scripts/with-network`.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import machine
from bench.events import Effort
from bench.rows import Figure, Row, as_json, choose, failed, figure, heading, line, misses, stored
from bench.runs import Runs
from bench.table import ELSEWHERE, rows

BASELINE = Path(__file__).with_name("baseline.json")
OUTPUT = Path("build/bench.json")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write; the exit code."""
    options = _options().parse_args(arguments)
    if options.list:
        print(*(f"{row.name:34} {row.aim!s:24} {row.unit:6} {row.what}" for row in rows()), sep="\n")
        return 0
    try:
        chosen = choose((row for row in rows() if _pods(row.name) <= options.most_pods), options.name)
    except ValueError as error:
        print(error, "(see --list)", file=sys.stderr)
        return 2
    runs = Runs(Effort(options.samples, options.seconds), options.rounds, options.times)
    missed = misses(report(chosen, runs, options.output, options.baseline))
    if missed:
        print("\nmissed:", *missed, sep="\n  ")
    if not options.name:
        others = (f"{each.name}: {each.what}; {each.aim}: {each.command}" for each in ELSEWHERE)
        print("\nmeasured elsewhere:", *others, sep="\n  ")
    return 1 if missed else 0


def report(chosen: Sequence[Row[Runs]], runs: Runs, output: Path | None, baseline: Path) -> list[Figure]:
    """Measure, print and write, row by row: an end from outside leaves what was measured."""
    before, there = stored(baseline.read_text()) if baseline.exists() else ({}, {})
    here = machine.describe()
    for word, each in (("here", here), ("baseline", there)):
        print(f"{word}: {', '.join(f'{key} {value}' for key, value in each.items()) or 'none'}")
    print(heading(), flush=True)
    found: list[Figure] = []
    for row in chosen:
        found.append(measured(row, runs))
        print(line(found[-1], before), flush=True)
        if output is not None:
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_text(as_json(here, found, ELSEWHERE))
    return found


def measured(row: Row[Runs], runs: Runs) -> Figure:
    """One row; whatever goes wrong is the row's, and the others are measured all the same."""
    try:
        return figure(row, row.values(runs))
    except Exception as error:  # noqa: BLE001  an hour of measurements must not be lost for one that fails
        text = f"{type(error).__name__}: {error}".strip()
        return failed(row, text.splitlines()[0][:200])


def _pods(name: str) -> int:
    """The size of the cluster that a row's name begins with, or 0."""
    word = name.partition("/")[0]
    return int(word) if word.isdigit() else 0


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.full", description="figures next to their aims")
    parser.add_argument("name", nargs="*", help="rows, or what their names begin with: packets 10000/memory")
    parser.add_argument("--list", action="store_true", help="print the rows and measure nothing")
    parser.add_argument("--samples", type=int, default=100, help="changes of each kind (100)")
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="at most for each kind, and of churn (60)"
    )
    parser.add_argument("--rounds", type=int, default=21, help="of packets (21)")
    parser.add_argument("--times", type=int, default=7, help="commands and compilations (7)")
    parser.add_argument("--most-pods", type=int, default=100_000, help="leave larger clusters out")
    parser.add_argument("--output", type=Path, default=OUTPUT, help=f"JSON ({OUTPUT})")
    parser.add_argument("--baseline", type=Path, default=BASELINE, help="JSON of an earlier run")
    return parser


if __name__ == "__main__":
    # So that an end from outside ends what it started, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # as `| head` expects
    sys.exit(main())
