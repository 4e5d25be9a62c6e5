"""`python -m tests.fuzz [TARGET ...]`: meet every reader of text from outside with a million damaged inputs.

Exit code 1 if one raised, took long or took much memory; the input is then a file of tests/fuzz/corpus.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path

from tests.fuzz.campaign import Plan, run_jobs
from tests.fuzz.job import Report
from tests.fuzz.target import CORPUS
from tests.fuzz.targets import TARGETS

#: Each target is met in so many jobs, which begin again with other chances.
SHARES = 4
#: What a job may take with all it has imported, in MB.
MOST_MEGABYTES = 256


def main() -> int:
    """Read the command line, run, and say what was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument(
        "targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; all without one"
    )
    parser.add_argument("--inputs", type=int, default=1_000_000, help="in all (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=1200.0, help="in all (default: %(default)g)")
    parser.add_argument(
        "--seed", type=int, default=time.time_ns() % 1_000_000, help="the same finds the same"
    )
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--keep", type=int, default=0, help="of what is new, to be put into the corpus by each job"
    )
    parser.add_argument("--corpus", type=Path, default=CORPUS, help="where crashes and what is new are put")
    chosen = parser.parse_args()
    if unknown := [name for name in chosen.targets if name not in TARGETS]:
        parser.error(f"there is no target {unknown[0]}")
    if min(chosen.inputs, chosen.seconds, chosen.processes) < 1:
        parser.error("--inputs, --seconds and --processes must be 1 or more")
    names = chosen.targets or list(TARGETS)
    shares = len(names) * SHARES
    inputs = -(-chosen.inputs // shares)
    plans = [Plan(name, chosen.seed + share, inputs) for share in range(SHARES) for name in names]
    _say(f"seed {chosen.seed}: {shares} jobs of {inputs} inputs, {chosen.processes} at a time")
    try:
        return asyncio.run(_tell(plans, chosen))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains at its end
        return 141


async def _tell(plans: Sequence[Plan], chosen: argparse.Namespace) -> int:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    began = time.monotonic()
    reports: list[Report] = []
    _say(f"{'target':14} {'inputs':>9} {'a second':>9} {'slowest':>9} {'memory':>7} {'ways':>6}  crashes")
    jobs = run_jobs(plans, chosen.processes, chosen.seconds, chosen.corpus, chosen.keep)
    async with aclosing(jobs) as found:
        async for report in found:
            reports.append(report)
            _say(_row([report]))
            for name, text in report.crashes.items():
                _say(f"\n{report.target}/{name}:\n{text}")
    _say("\nin all")
    for name in dict.fromkeys(report.target for report in reports):
        _say(_row([report for report in reports if report.target == name]))
    large = sorted({report.target for report in reports if report.megabytes > MOST_MEGABYTES})
    for name in large:
        _say(f"{name} took more than {MOST_MEGABYTES} MB")
    inputs, crashes = sum(report.inputs for report in reports), sum(len(report.crashes) for report in reports)
    _say(f"{inputs} inputs in {time.monotonic() - began:.0f} s: {crashes} crashes")
    return 1 if crashes or large else 0


def _row(reports: Sequence[Report]) -> str:
    inputs, seconds = sum(report.inputs for report in reports), sum(report.seconds for report in reports)
    slowest, memory, ways = (
        max(getattr(r, of) for r in reports) for of in ("slowest", "megabytes", "outcomes")
    )
    rate, crashes = inputs / max(seconds, 0.001), sum(len(report.crashes) for report in reports)
    figures = f"{inputs:9} {rate:9.0f} {slowest * 1000:6.0f} ms {memory:4} MB {ways:6}  {crashes}"
    return f"{reports[0].target:14} {figures}"


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
