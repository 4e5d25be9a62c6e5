"""A child process: bytes in, bytes out; killed and reaped whatever happens to its caller.

Knows nothing of nft. Built on a protocol, not on streams, as only a protocol is called when the process is
gone and its pipes are closed, so that nothing is left over.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from signal import SIGKILL
from typing import cast

#: A listing of a million elements has about 60 MB.
MAX_OUTPUT = 256 * 1024 * 1024
MAX_ERRORS = 64 * 1024


class Child(asyncio.SubprocessProtocol):
    """A running process. What it wrote and nobody took yet is in `output` and `errors`.

    `alive` as long as more output may come.
    """

    def __init__(self) -> None:
        self.output = bytearray()
        self.errors = bytearray()
        self.alive = True
        self.overflowed = False
        self._gone = asyncio.Event()
        self._news = asyncio.Event()

    @classmethod
    async def start(
        cls, command: Sequence[str], variables: Mapping[str, str], *, errors: int | None = None
    ) -> Child:
        """Start a program. `errors` is where its error output goes: a pipe, or with None to ours.

        It is in a session of its own: a Ctrl-C at the terminal is for its parent to handle.
        """
        loop = asyncio.get_running_loop()
        _, child = await loop.subprocess_exec(
            cls, *command, env=dict(variables), stderr=errors, start_new_session=True
        )
        return child

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._transport.get_pid()

    @property
    def status(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""
        return self._transport.get_returncode()

    def write(self, *parts: bytes) -> None:
        """Hand bytes to its standard input."""
        self._stdin().writelines(parts)

    @property
    def untaken(self) -> int:
        """Bytes that were handed over and that its pipe has had no room for yet."""
        return self._stdin().get_write_buffer_size()

    def end_input(self) -> None:
        """Close its standard input, when all that was handed over is written."""
        self._stdin().close()

    async def wait_for_output(self, count: int) -> bool:
        """Wait until `output` holds so many bytes. False when it never will."""
        while len(self.output) < count:
            if not self.alive:
                return False
            self._news.clear()
            await self._news.wait()
        return True

    async def wait(self) -> None:
        """Wait until the process is gone and its output is complete."""
        await self._gone.wait()

    async def end(self) -> None:
        """Kill it if it runs, and wait until it is reaped and its pipes are closed."""
        self._kill()
        await self._gone.wait()

    def _kill(self) -> None:
        # Not the transport's `kill`: it reaps a process that is dead already, before asyncio's own watcher,
        # which then logs a warning and reports status 255 (seen in Python 3.11).
        if self.status is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, SIGKILL)

    def _stdin(self) -> asyncio.WriteTransport:
        return cast(asyncio.WriteTransport, self._transport.get_pipe_transport(0))

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the process."""
        self._transport = cast(asyncio.SubprocessTransport, transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Gather output; a process that does not stop writing is killed, its errors are cut."""
        if fd == 1:
            self.output += data
            if len(self.output) > MAX_OUTPUT:
                self.overflowed = True
                self._kill()
        elif len(self.errors) < MAX_ERRORS:
            self.errors += data
        self._news.set()

    def pipe_connection_lost(self, fd: int, _: Exception | None) -> None:
        """Wake who waits for output: there will be no more."""
        if fd == 1:
            self.alive = False
            self._news.set()

    def connection_lost(self, _: Exception | None) -> None:
        """Process and pipes are gone."""
        self._transport.close()
        self._gone.set()


def environment() -> dict[str, str]:
    """Ours, with messages in English and a way to the programs of the administrator."""
    path = os.environ.get("PATH", os.defpath)
    return {**os.environ, "LC_ALL": "C", "PATH": f"{path}:/usr/sbin:/sbin"}
