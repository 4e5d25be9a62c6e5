"""Runs a compilation so that it can be given up when it takes too long, or too much memory, or raises.

`compile_here` works in a thread, which costs nothing, and is watched: past its limits an exception is put
into it. `compile_apart` works in a copy of this process (fork), with limits of its own that the kernel keeps:
for what has failed before. It gives back text only, as to send objects takes as long as to compile.
"""

from __future__ import annotations

import _thread
import asyncio
import ctypes
import gc
import json
import os
import resource
import signal
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, NoReturn, TypeVar

from policyd.agent.memory import address_space, resident, room
from policyd.errors import EnvironmentRefused, PolicydError

#: How often a compilation in a thread is looked at; most are over before the first time.
LOOK_SECONDS = 0.05
#: A thread that has not begun by then had no memory to do so.
_BEGIN_SECONDS = 10.0
#: Of the memory that is left when a compilation is looked at first, so much is left to all others.
_FOR_OTHERS = 0.25
#: A copy that waits where it should work is ended after so many times its limit, and so many seconds more.
_WAITING_FACTOR, _WAITING_SECONDS = 20, 60.0
_PR_SET_PDEATHSIG = 1

T = TypeVar("T")


class CompileFailed(PolicydError):
    """A compilation raised something, or was given up. The text says what, and where."""


class OverLimits(CompileFailed):
    """A compilation took too long, or too much memory."""


class Abandoned(BaseException):
    """Put into a thread whose compilation is given up. No Exception, so that nobody catches it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one compilation may take: seconds of a processor, and bytes; None for what the machine leaves."""

    seconds: float
    memory: int | None = None


def describe(error: BaseException) -> str:
    """What was raised, and where, in one line."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    place = ""
    if frame is not None:
        code = frame.tb_frame.f_code
        place = f" (in {code.co_name}, {os.path.basename(code.co_filename)}:{frame.tb_lineno})"  # noqa: PTH119
    return f"{type(error).__name__}{f': {error}' if str(error) else ''}{place}"


async def compile_here(work: Callable[[], T], limits: Limits) -> T:
    """Do the work in a thread. Raises CompileFailed for whatever it raises, and past the limits.

    Raises EnvironmentRefused if there can be no further thread.
    """
    ended = asyncio.Event()
    worker = _Worker(work, asyncio.get_running_loop(), ended)
    before = resident()
    worker.start()
    reason, memory = "", limits.memory
    try:
        while not ended.is_set() and worker.is_alive():
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await ended.wait()
                    break
            if memory is None:
                memory = _share()
            if not reason and (reason := _exceeded(worker, limits.seconds, resident() - before, memory)):
                worker.abandon()
    except BaseException:
        worker.abandon()
        raise
    if reason:
        gc.enable()  # the exception may have come before the work did so itself
    return worker.result(reason)


def _share() -> int:
    """Bytes that one compilation may take of what is left now."""
    left = room()
    return 1 << 62 if left is None else int(left * (1 - _FOR_OTHERS))


def _exceeded(worker: _Worker[T], seconds: float, grown: int, memory: int) -> str:
    if worker.seconds() > seconds:
        return f"it took more than {seconds:g} s of a processor"
    if grown > memory:
        return f"it took more than {memory >> 20} MiB of memory"
    return ""


class _Worker(Generic[T]):
    """A thread for one compilation, so that what is put into it can hit nothing else.

    Not a `threading.Thread`: to start one waits for ever for a thread that had no memory to begin.
    """

    def __init__(self, work: Callable[[], T], loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
        self._work, self._loop, self._ended = work, loop, ended
        self._results: list[T] = []
        self._error: BaseException | None = None
        self._identity = 0  # what Python calls it, while it works
        self._number = 0  # what the kernel calls it, from its beginning on
        self._begins_by = 0.0
        self._given_up = False

    def start(self) -> None:
        """Begin. Raises EnvironmentRefused if there can be no further thread."""
        self._begins_by = time.monotonic() + _BEGIN_SECONDS
        try:
            _thread.start_new_thread(self._run, ())
        except (RuntimeError, MemoryError) as error:
            raise EnvironmentRefused(f"there can be no further thread: {error}") from error

    def _run(self) -> None:
        """Work, and keep what comes of it."""
        self._number = _thread.get_native_id()
        with suppress(Abandoned):  # which may come when the work has just been done
            try:
                self._identity = _thread.get_ident()
                if self._given_up:
                    return
                self._results.append(self._work())
            except BaseException as error:  # noqa: BLE001 whatever it is, `result` says it
                self._error = error
            self._identity = 0
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._ended.set)

    def is_alive(self) -> bool:
        """Whether something may come of it: it works, or may still begin."""
        if not self._number:
            return time.monotonic() < self._begins_by
        return bool(_read_stat(self._number))

    def seconds(self) -> float:
        """The processor's seconds it has taken."""
        fields = _read_stat(self._number).rpartition(")")[2].split()
        # `utime` and `stime` are the 14th and 15th field.
        return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")

    def abandon(self) -> None:
        """Have it raise Abandoned at its next step in Python. It may have ended meanwhile."""
        self._given_up = True
        if identity := self._identity:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(identity), ctypes.py_object(Abandoned))
            # Python drops what comes in a finalizer, or in what the collector of garbage calls.
            with suppress(RuntimeError):  # the loop is closed: nothing is worth the work any more
                self._loop.call_later(LOOK_SECONDS, self.abandon)

    def result(self, reason: str) -> T:
        """What came of it. Raises CompileFailed, for `reason` if there is one.

        Raises EnvironmentRefused if it never began.
        """
        if not self._number:
            self._given_up = True
            raise EnvironmentRefused("a thread could not begin: there is not enough memory")
        if self._results:
            return self._results[0]
        error = self._error
        # What it held when it failed may be large, and would live as long as the exception.
        self._error = None
        if reason:
            raise OverLimits(reason)
        if error is None:
            raise CompileFailed("it ended without a result")
        raise CompileFailed(describe(error))


def _read_stat(number: int) -> str:
    """What the kernel says of one of our threads; empty when it has ended."""
    try:
        return Path(f"/proc/self/task/{number}/stat").read_text(errors="replace")
    except OSError:
        return ""


async def compile_apart(work: Callable[[], tuple[str, ...]], limits: Limits) -> tuple[str, ...]:
    """Do the work in a copy of this process. Raises CompileFailed, and OSError if it cannot begin."""
    memory = limits.memory if limits.memory is not None else _share()
    libc, parent = ctypes.CDLL(None), os.getpid()  # before the copy: another thread may be loading a library
    reading, writing = os.pipe2(os.O_CLOEXEC)
    try:
        pid = _fork()
        if pid == 0:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            _be_copy(work, Limits(limits.seconds, memory), writing, parent)
    except OSError:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    try:
        answer = await _read_all(reading, limits.seconds * _WAITING_FACTOR + _WAITING_SECONDS)
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        # It was killed if it had not ended, so this waits for nobody but the kernel.
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])  # noqa: ASYNC222
    return _result(answer, status, limits.seconds)


def _fork() -> int:
    with warnings.catch_warnings():
        # Locks of other threads stay locked in the copy. It takes none of theirs, and has its time.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _be_copy(work: Callable[[], tuple[str, ...]], limits: Limits, writing: int, parent: int) -> NoReturn:
    """What the copy does: works, writes what comes of it, ends. Never returns, whatever happens."""
    status = 1
    try:
        if os.getppid() != parent:
            os._exit(status)  # it ended before it could be said that we end with it
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        # What is open belongs to the agent: the claim on its node, its connections, its worker.
        os.closerange(3, writing)
        os.closerange(writing + 1, 1 << 20)
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_PROF, limits.seconds)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if limits.memory is not None:
            most = address_space() + limits.memory
            _, hard = resource.getrlimit(resource.RLIMIT_AS)
            most = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(resource.RLIMIT_AS, (most, hard))
        answer = _answer(work).encode()
        while answer:
            answer = answer[os.write(writing, answer) :]
        status = 0
    finally:
        os._exit(status)


def _answer(work: Callable[[], tuple[str, ...]]) -> str:
    try:
        return json.dumps({"texts": work()})
    except Exception as error:  # noqa: BLE001 whatever it is, it is what is asked for
        return json.dumps({"error": describe(error)})


async def _read_all(reading: int, seconds: float) -> bytes:
    """All that comes, until nobody can write any more, or the time is over."""
    loop = asyncio.get_running_loop()
    stream = asyncio.StreamReader()
    pipe = os.fdopen(reading, "rb", buffering=0)
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), pipe)
    try:
        async with asyncio.timeout(seconds):
            return await stream.read(-1)
    except TimeoutError:
        return b""
    finally:
        transport.close()


def _result(answer: bytes, status: int, seconds: float) -> tuple[str, ...]:
    if status == -signal.SIGPROF:
        raise OverLimits(f"it took more than {seconds:g} s of a processor")
    try:
        found = json.loads(answer)
    except ValueError:
        raise CompileFailed(f"the process that compiled ended with status {status}") from None
    if "error" in found:
        raise CompileFailed(str(found["error"]))
    return tuple(found["texts"])
