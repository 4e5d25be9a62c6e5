"""The backend over libnftables, which lives in a process of its own (`worker_process.py`).

Foreign sets can crash the library and memory it took does not come back, so its process is replaced: when it
died, when it does not answer, between requests when it has grown. This process never imports `nftables`.
"""

from __future__ import annotations

import asyncio
import os
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

from policyd.applier.backend import (
    NftBroken,
    NftTooLarge,
    NftUnavailable,
    list_command,
    read_errors,
    says_absent,
)
from policyd.applier.child import MAX_OUTPUT, Child, environment
from policyd_compiler.nft.ast import TableFamily

#: The same as in worker_process.py, which imports nothing of ours and is not imported.
_HEADER = struct.Struct("!cI")
_VERSION = "2"
#: Debian's python3-nftables, which an interpreter in a virtual environment does not see.
LIBRARY = "/usr/lib/python3/dist-packages"
_PROGRAM = Path(__file__).with_name("worker_process.py")
#: A process that hangs is seen to do nothing so many times in a row: once may be a moment between two works.
_LOOKS = 4


@dataclass(frozen=True, slots=True)
class Limits:
    """When a worker process is replaced: seconds without an answer, bytes grown, requests answered.

    `idle`: seconds in which it neither answers nor works. Who does something is busy, not hung, as the kernel
    takes seconds for a large ruleset.
    """

    start: float = 10.0
    answer: float = 60.0
    idle: float = 0.6
    growth: int = 256 * 1024 * 1024
    requests: int = 100_000


DEFAULT_LIMITS = Limits()


class _Requests:
    """What every backend is asked for, as requests to a worker process."""

    async def ask(self, kind: bytes, text: str) -> tuple[bytes, str]:
        """Put a request, and give the kind of its answer and the text."""
        raise NotImplementedError

    async def run(self, script: str) -> None:
        """Run a script as one transaction: all of it or nothing."""
        await self._succeed(b"R", script)

    async def check(self, script: str) -> None:
        """Let the kernel judge a script as `run` would; nothing changes."""
        await self._succeed(b"C", script)

    async def list_table(self, name: str, family: TableFamily = "inet") -> str | None:
        """The JSON text of `nft list table FAMILY NAME`, None where there is none. Lists nothing else."""
        return await self._list(b"L", name, family)

    async def list_structure(self, name: str, family: TableFamily = "inet") -> str | None:
        """The same without the elements of sets and maps that have names."""
        return await self._list(b"S", name, family)

    async def _list(self, request: bytes, name: str, family: TableFamily) -> str | None:
        kind, text = await self.ask(request, list_command(name, family))
        if kind == b"+":
            if not text.startswith("{"):
                raise NftUnavailable("this libnftables has no JSON support: install one that has")
            return text
        if says_absent(text):
            return None
        raise read_errors(text, "")

    async def _succeed(self, kind: bytes, script: str) -> None:
        answer, text = await self.ask(kind, script)
        if answer != b"+":
            raise read_errors(text, script)


class NftWorker(_Requests):
    """libnftables, in this network namespace or in the one at the path `netns`.

    `library` is the directory of the package `nftables`.
    """

    def __init__(
        self, netns: str | None = None, *, library: str = LIBRARY, limits: Limits = DEFAULT_LIMITS
    ) -> None:
        self._arguments = (library,) if netns is None else (library, netns)
        self._limits = limits
        self._process: _Process | None = None
        # There is one pipe: a request waits for the answer to the one before.
        self._turn = asyncio.Lock()

    def inside(self, netns: str) -> NftInside:
        """The same process, for requests in the network namespace at another path."""
        return NftInside(self, netns)

    async def close(self) -> None:
        """End the process. The next call would start another."""
        async with self._turn:
            await self._end()

    def describe(self) -> str:
        """What this is, for a person."""
        return "libnftables in a worker process"

    async def ask(self, kind: bytes, text: str) -> tuple[bytes, str]:
        """Put a request, and give the kind of its answer and the text. Raises NftBroken."""
        async with self._turn:
            if self._process is None or not self._process.fit(self._limits):
                await self._end()
                self._process = await self._start()
            try:
                return await self._process.exchange(kind, text, self._limits)
            except BaseException:
                # Cancelled, too: an answer that comes late must not be taken for that to the next request.
                await self._end()
                raise

    async def _start(self) -> _Process:
        # -I and -S: nothing of the environment, of the working directory or of site-packages gets in.
        command = (sys.executable, "-I", "-S", str(_PROGRAM), *self._arguments)
        try:
            child = await Child.start(command, environment())
        except OSError as error:
            raise NftUnavailable(f"cannot start the worker process: {error}") from error
        process = _Process(child)
        try:
            await process.greet(self._limits.start)
        except BaseException:
            await process.end()
            raise
        return process

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            await process.end()


class NftInside(_Requests):
    """libnftables in one more network namespace, by a worker process that goes there for each request.

    Many namespaces share the process, and it holds each for a second: one that its pod leaves is gone then.
    """

    def __init__(self, worker: NftWorker, netns: str) -> None:
        self._worker, self._netns = worker, netns

    async def ask(self, kind: bytes, text: str) -> tuple[bytes, str]:
        """The same there. Raises NftUnavailable where there is no way in."""
        kind, text = await self._worker.ask(kind.lower(), f"{self._netns}\0{text}")
        if kind == b"X":
            raise NftUnavailable(text)
        return kind, text

    async def close(self) -> None:
        """The process is the worker's to end."""

    def describe(self) -> str:
        """What this is, for a person."""
        return f"{self._worker.describe()}, in {self._netns}"


class _Process:
    """One worker process: frames to it and from it."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._answered = 0
        self._memory = 0

    async def greet(self, seconds: float) -> None:
        """Wait until it is ready."""
        kind, text = await self._receive(seconds, seconds)
        if kind == b"X":
            raise NftUnavailable(text)
        if (kind, text) != (b"H", _VERSION):
            raise NftUnavailable(f"the worker process speaks another protocol: {kind!r} {text!r}")
        self._memory = self._resident()

    async def exchange(self, kind: bytes, text: str, limits: Limits) -> tuple[bytes, str]:
        """Send a request and wait for its answer."""
        content = text.encode()
        self._child.write(_HEADER.pack(kind, len(content)), content)
        answer = await self._receive(limits.answer, limits.idle)
        self._answered += 1
        return answer

    def fit(self, limits: Limits) -> bool:
        """Whether it lives and may take one more request."""
        held = self._resident()  # 0 for one that died and that the loop does not know of yet
        return (
            self._child.alive
            and self._answered < limits.requests
            and 0 < held <= self._memory + limits.growth
        )

    async def end(self) -> None:
        """Kill it and wait until nothing of it is left."""
        await self._child.end()

    async def _receive(self, seconds: float, idle: float) -> tuple[bytes, str]:
        child = self._child
        try:
            async with asyncio.timeout(seconds):
                if await self._wait_for_output(_HEADER.size, idle):
                    kind, length = _HEADER.unpack_from(child.output)
                    if await self._wait_for_output(_HEADER.size + length, idle):
                        text = child.output[_HEADER.size : _HEADER.size + length].decode(errors="replace")
                        child.output.clear()
                        return kind, text
        except TimeoutError:
            raise NftBroken(
                f"the worker process did not answer within {seconds:g} s and was killed", retryable=True
            ) from None
        if child.overflowed:
            raise NftTooLarge(MAX_OUTPUT)
        await child.wait()
        raise NftBroken(f"the worker process ended with status {child.status}", retryable=True)

    async def _wait_for_output(self, count: int, idle: float) -> bool:
        """As that of the child, but only as long as it works. Raises NftBroken."""
        looks = 0
        done = self._done()
        while looks < _LOOKS:
            try:
                async with asyncio.timeout(idle / _LOOKS):
                    return await self._child.wait_for_output(count)
            except TimeoutError:
                before, done = done, self._done()
                looks = looks + 1 if done is not None and done == before else 0
        raise NftBroken(f"the worker process did nothing for {idle:g} s and was killed", retryable=True)

    def _done(self) -> tuple[int, ...] | None:
        """What it has done so far, as numbers that change; None while it works, or waits for the kernel."""
        try:
            status = Path(f"/proc/{self._child.pid}/stat").read_text()
        except OSError:
            return None
        state, *numbers = status.rpartition(")")[2].split()
        # Asleep or stopped; all others have work. `utime` and `stime` are the 14th and 15th field.
        child = self._child
        return (*map(int, numbers[10:12]), len(child.output), child.untaken) if state in "STt" else None

    def _resident(self) -> int:
        """Bytes of memory it holds; 0 when it is gone."""
        try:
            pages = Path(f"/proc/{self._child.pid}/statm").read_text().split()[1]
        except OSError:
            return 0
        return int(pages) * os.sysconf("SC_PAGE_SIZE")
