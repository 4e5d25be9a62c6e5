"""`make bench`: the figures of docs/benchmarks.md, as a table, in minutes. Nothing fails for being slow.

The rows are those of `bench.table`; `python -m bench.full` has all of them, and judges.
"""

from __future__ import annotations

import signal
import sys

from bench.events import Effort
from bench.full import BASELINE, report
from bench.rows import choose
from bench.runs import Runs
from bench.table import QUICK, rows

if __name__ == "__main__":
    # So that an end from outside ends what it started, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    report(choose(rows(), QUICK), Runs(Effort()), None, BASELINE)
