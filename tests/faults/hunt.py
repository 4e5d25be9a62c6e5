"""Plants faults one at a time in copies of the sources, and sees whether the tests notice.

Nothing is written outside of one temporary directory. It is removed whatever happens, as are all processes.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from tests.faults.fault import Fault, Misfit

#: What a test needs to run.
SOURCES = ("policyd", "compiler", "tests", "pyproject.toml")
#: A test that has not noticed by then has not noticed; all of them together, without any fault, take longer.
SECONDS = 180.0
SECONDS_WITHOUT = 600.0
#: Long enough for pytest to take down what a test has put up.
GRACE = 15.0

#: Faults are meant to be wrong answers. One of these is a fault that was badly written, and proves nothing.
_ACCIDENT = re.compile(
    r"^E\s+(?:\w+\.)*((?:Name|UnboundLocal|Attribute|Import|ModuleNotFound|Type|Key|Index)Error)\b",
    re.MULTILINE,
)
_FAILED = re.compile(r"^FAILED ", re.MULTILINE)

#: survived: the test passed. unfit: the fault or its test is not what it should be.
Outcome: TypeAlias = Literal["caught", "survived", "unfit"]


class AlreadyFailing(Exception):
    """Without any fault the tests do not pass: nothing can be learned from their failing."""


@dataclass(frozen=True, slots=True)
class Found:
    """What became of a fault; `text` is what there is to say about one that was not caught."""

    fault: Fault
    outcome: Outcome
    seconds: float
    text: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of pytest. `code` is None if it was killed because it took too long."""

    code: int | None
    output: str


async def hunt(
    root: Path, faults: Sequence[Fault], processes: int, sources: Sequence[str] = SOURCES
) -> AsyncGenerator[Found, None]:
    """Try all faults, so many at a time, and give each as soon as it is judged.

    Raises AlreadyFailing if one of the tests fails without any fault.
    """
    with tempfile.TemporaryDirectory(prefix="policyd-faults-") as scratch:
        base = Path(scratch, "base")
        for name in sources:
            _copy(root / name, base / name)
        await _pass_without_fault(base, sorted({fault.caught_by for fault in faults}), processes)
        places: asyncio.Queue[Path] = asyncio.Queue()
        for number in range(processes):
            places.put_nowait(Path(scratch, str(number)))
        tasks = [asyncio.create_task(_try(fault, base, places)) for fault in faults]
        try:
            for task in asyncio.as_completed(tasks):
                yield await task
        finally:
            for each in tasks:
                each.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _pass_without_fault(base: Path, tests: Iterable[str], processes: int) -> None:
    workers = ["--numprocesses", str(processes)] if processes > 1 else []
    run = await _pytest(base, [*tests, *workers], SECONDS_WITHOUT)
    if run.code != 0:
        raise AlreadyFailing(f"without any fault pytest ends with {run.code}:\n{run.output}")


async def _try(fault: Fault, base: Path, places: asyncio.Queue[Path]) -> Found:
    """Plant a fault in a copy of its own, and run the test that should notice."""
    tree = await places.get()
    began = time.monotonic()
    try:
        _copy(base, tree)
        fault.plant(tree)
        outcome, text = _judge(await _pytest(tree, ["-x", fault.caught_by], SECONDS))
    except Misfit as misfit:
        outcome, text = "unfit", str(misfit)
    finally:
        shutil.rmtree(tree, ignore_errors=True)
        places.put_nowait(tree)
    return Found(fault, outcome, time.monotonic() - began, text)


def _judge(run: Run) -> tuple[Outcome, str]:
    match run.code:
        case 0:
            return "survived", "the test passes with the fault"
        case 1 if accident := _ACCIDENT.search(run.output):
            return "unfit", f"the fault is no wrong answer but an accident ({accident[1]}):\n{run.output}"
        case 1 if _FAILED.search(run.output):
            return "caught", ""
        case 1:
            return "unfit", f"what failed was not the test but what it needs:\n{run.output}"
        case None:
            return "unfit", f"the test did not end within {SECONDS:g} s:\n{run.output}"
        case code:
            return "unfit", f"pytest ended with {code}, so no test has judged:\n{run.output}"


async def _pytest(tree: Path, arguments: Sequence[str], seconds: float) -> Run:
    """Run pytest in a copy of the sources, and leave no process of it behind."""
    temporary = tree / "tmp"
    temporary.mkdir()
    log = tree / "pytest.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", *arguments),
            cwd=tree,
            env=_environment(tree, temporary),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    code: int | None = None
    try:
        with suppress(TimeoutError):
            code = await asyncio.wait_for(process.wait(), seconds)
    finally:
        await _end(process)
        shutil.rmtree(temporary, ignore_errors=True)
    return Run(code, log.read_text(errors="replace"))


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a process and all that it started: as Ctrl-C would, so that tests clean up, and then by force."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), GRACE)
    with suppress(ProcessLookupError):  # the group is still there if anybody in it is
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def _environment(tree: Path, temporary: Path) -> dict[str, str]:
    """The copy comes before what is installed, also for the processes that tests start."""
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((str(tree), str(tree / "compiler"))),
        "TMPDIR": str(temporary),
        "HYPOTHESIS_PROFILE": "faults",
        "PYTEST_ADDOPTS": "",
    }


def _copy(source: Path, target: Path) -> None:
    """Copy with times, so that what Python has compiled once counts in every copy."""
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        target.parent.mkdir(exist_ok=True)
        shutil.copy2(source, target)


async def collect(
    root: Path, faults: Sequence[Fault], processes: int, sources: Sequence[str] = SOURCES
) -> tuple[Found, ...]:
    """Hunt, and give all that was found."""
    async with aclosing(hunt(root, faults, processes, sources)) as found:
        return tuple([each async for each in found])
