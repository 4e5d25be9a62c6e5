"""A compilation is given up when it takes too much, here and apart; whatever it raises becomes a sentence."""

from __future__ import annotations

import _thread
import asyncio
import gc
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from policyd.agent import compiling
from policyd.agent.compiling import CompileFailed, Limits, OverLimits, compile_apart, compile_here
from policyd.agent.memory import resident
from policyd.errors import EnvironmentRefused
from policyd_compiler.errors import CompilerBug
from tests.lab.leftovers import leftovers
from tests.support.waiting import eventually, until

MEBIBYTE = 1 << 20
LIMITS = Limits(seconds=60.0, memory=200 * MEBIBYTE)


def spin() -> tuple[str, ...]:
    began = time.thread_time()
    while time.thread_time() - began < 20.0:
        pass
    return ()


def hog() -> tuple[str, ...]:
    held = []
    while True:
        held.append(bytearray(MEBIBYTE))


def recurse() -> tuple[str, ...]:
    return recurse()


def bug() -> tuple[str, ...]:
    raise CompilerBug("two contents want a name")


def starve() -> tuple[str, ...]:
    raise MemoryError


def end() -> tuple[str, ...]:
    os._exit(7)


def run(where: Callable[..., object], work: Callable[[], tuple[str, ...]], limits: Limits = LIMITS) -> object:
    return asyncio.run(where(work, limits))  # type: ignore[arg-type]


def threads() -> set[str]:
    return {path.name for path in Path("/proc/self/task").iterdir()}


@pytest.mark.parametrize("where", [compile_here, compile_apart])
@pytest.mark.parametrize(
    ("work", "text"),
    [(recurse, "RecursionError"), (bug, "CompilerBug: two contents want a name"), (starve, "MemoryError")],
)
def test_what_is_raised_is_said_with_its_place(
    where: Callable[..., object], work: Callable[[], tuple[str, ...]], text: str
) -> None:
    with pytest.raises(CompileFailed, match=rf"{text}.* \(in {work.__name__}, test_compiling.py:\d+\)"):
        run(where, work)


@pytest.mark.parametrize("where", [compile_here, compile_apart])
def test_what_takes_too_long_is_given_up(where: Callable[..., object]) -> None:
    before, others = time.process_time(), threads()
    with pytest.raises(OverLimits, match="more than 1 s of a processor"):
        run(where, spin, Limits(1.0, 200 * MEBIBYTE))
    assert time.process_time() - before < 10.0
    until(lambda: threads() <= others)


@pytest.mark.parametrize("where", [compile_here, compile_apart])
def test_what_takes_too_much_memory_is_given_up_and_gives_it_back(where: Callable[..., object]) -> None:
    before = resident()
    with pytest.raises(CompileFailed, match=r"200 MiB of memory|MemoryError"):
        run(where, hog)
    gc.collect()
    assert resident() - before < 150 * MEBIBYTE


def test_the_text_of_a_compilation_apart_comes_back_whole() -> None:
    """Also when it is more than a pipe holds."""
    text = "x" * (3 * MEBIBYTE)
    before = leftovers(), len(list(Path("/proc/self/fd").iterdir()))
    assert run(compile_apart, lambda: (text, "ä")) == (text, "ä")
    assert (leftovers(), len(list(Path("/proc/self/fd").iterdir()))) == before


def test_a_copy_that_ends_without_a_word_is_a_failure() -> None:
    with pytest.raises(CompileFailed, match="ended with status 7"):
        run(compile_apart, end)


@pytest.mark.parametrize("where", [compile_here, compile_apart])
def test_a_cancelled_build_leaves_no_compilation(where: Callable[..., object]) -> None:
    before, others = leftovers(), threads()

    async def steps() -> None:
        task = asyncio.ensure_future(where(spin, LIMITS))  # type: ignore[call-overload]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(steps())
    until(lambda: threads() <= others)
    assert leftovers() == before


class Deaf:
    """What is put into a thread that is in its finalizer, Python drops."""

    def __init__(self, finalized: list[str]) -> None:
        self._finalized = finalized

    def __del__(self) -> None:
        began = time.thread_time()
        try:
            while time.thread_time() - began < 10.0:
                pass
        finally:
            self._finalized.append("")


def test_a_cancelled_build_that_does_not_hear_it_is_given_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the first that was put into it came in a finalizer, or in a callback of the collector."""
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    finalized: list[str] = []

    def work() -> tuple[str, ...]:
        Deaf(finalized)
        return spin()

    async def steps() -> None:
        task = asyncio.ensure_future(compile_here(work, LIMITS))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await eventually(lambda: threads() <= others)

    others, before = threads(), time.process_time()
    asyncio.run(steps())
    assert finalized
    assert time.process_time() - before < 5.0


def test_a_thread_that_cannot_begin_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without memory a thread ends before its first step, and nobody says so."""
    monkeypatch.setattr(_thread, "start_new_thread", lambda *_: 0)
    monkeypatch.setattr(compiling, "_BEGIN_SECONDS", 0.1)
    with pytest.raises(EnvironmentRefused, match="not enough memory"):
        run(compile_here, spin)


def test_the_loop_goes_on_while_something_is_compiled() -> None:
    async def steps() -> None:
        turns = 0
        task = asyncio.ensure_future(compile_here(spin, Limits(0.2, 200 * MEBIBYTE)))
        while not task.done():
            turns += 1
            await asyncio.sleep(0)
        assert isinstance(task.exception(), OverLimits)
        assert turns > 10

    asyncio.run(steps())
