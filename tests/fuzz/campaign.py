"""Many jobs, some at a time, each in a process and a directory of its own; what they found is put together.

Nothing is left behind but crashes, which become files of the corpus: the replay fails until they are fixed.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.job import NOTE, Report, keep, noted

ROOT = Path(__file__).resolve().parent.parent.parent
#: How much longer than it was asked to take a job is waited for.
GRACE = 60.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What a job is to do."""

    target: str
    seed: int
    inputs: int


async def run_jobs(
    plans: Sequence[Plan], processes: int, seconds: float, corpus: Path, keep_new: int
) -> AsyncGenerator[Report, None]:
    """Run all, so many at a time, for so many seconds in all; give each report when it is there.

    Crashes are put into the corpus, and of inputs that found new ways at most `keep_new` of each job.
    """
    free, ends = asyncio.Semaphore(processes), time.monotonic() + seconds
    with tempfile.TemporaryDirectory(prefix="policyd-fuzz-") as scratch:

        async def one(number: int, plan: Plan) -> Report:
            async with free:
                place = Path(tempfile.mkdtemp(prefix=f"{number}-", dir=scratch))
                report = await _run(plan, max(0.0, ends - time.monotonic()), place)
                _take_over(report, place, corpus / plan.target, keep_new)
                return report

        tasks = [asyncio.create_task(one(number, plan)) for number, plan in enumerate(plans)]
        try:
            for task in asyncio.as_completed(tasks):
                yield await task
        finally:
            for each in tasks:
                each.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _run(plan: Plan, seconds: float, place: Path) -> Report:
    arguments = (plan.target, str(plan.seed), str(plan.inputs), str(seconds), str(place))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.fuzz.job", *arguments),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "compiler")))},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    output, errors = b"", b"killed, as it did not end"
    try:
        with suppress(TimeoutError):
            output, errors = await asyncio.wait_for(process.communicate(), seconds + GRACE)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    if process.returncode == 0:
        return Report(**json.loads(output))
    return _died(plan, place, process.returncode, errors.decode(errors="replace"))


def _died(plan: Plan, place: Path, code: int | None, errors: str) -> Report:
    """A job without a report: what it met last is the cause."""
    report = Report(plan.target)
    text = noted(place / NOTE) if (place / NOTE).exists() else b""
    name = keep(place, "crash", text, text)
    report.crashes[name] = f"the process ended with {code}: {errors[-2000:]}"
    return report


def _take_over(report: Report, place: Path, corpus: Path, keep_new: int) -> None:
    names = [*report.crashes, *report.new[:keep_new]]
    if names:
        corpus.mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copyfile(place / name, corpus / name)
