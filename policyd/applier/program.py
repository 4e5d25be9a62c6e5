"""The backend that starts the program `nft` for each call: slower than the library, and nothing can go stale.

Scripts go in by standard input, so that their size does not matter. Keeps no state between calls.
"""

from __future__ import annotations

import asyncio
import shutil
from subprocess import PIPE

from policyd.applier.backend import (
    NftBroken,
    NftMissing,
    NftTooLarge,
    NftUnavailable,
    list_command,
    read_errors,
    says_absent,
)
from policyd.applier.child import MAX_OUTPUT, Child, environment
from policyd_compiler.nft.ast import TableFamily

#: Protocols and priorities as numbers: their names differ between systems and versions.
_LIST = ("--json", "--numeric-protocol", "--numeric-priority")


class NftProgram:
    """`nft`, in this network namespace or in the one at the path `netns`. `note` says why it was chosen.

    `enter` is a program that starts it elsewhere, with its arguments, instead of `netns`.
    """

    def __init__(
        self,
        netns: str | None = None,
        *,
        timeout: float = 60.0,
        program: str = "nft",
        note: str = "",
        enter: tuple[str, ...] = (),
    ) -> None:
        self._environment = environment()
        self._program = shutil.which(program, path=self._environment["PATH"])
        self._wanted = program
        self._enter = enter if netns is None else ("nsenter", f"--net={netns}", "--")
        self._timeout = timeout
        self._note = note
        # The kernel lets them in one after another anyway, each having read a state that no longer holds.
        self._turn = asyncio.Lock()

    async def run(self, script: str) -> None:
        """Run a script as one transaction: all of it or nothing."""
        await self._succeed(script, "--file", "-")

    async def check(self, script: str) -> None:
        """Let the kernel judge a script as `run` would; nothing changes."""
        await self._succeed(script, "--check", "--file", "-")

    async def list_table(self, name: str, family: TableFamily = "inet") -> str | None:
        """The JSON text of `nft list table FAMILY NAME`, None where there is none. Lists nothing else."""
        return await self._list(_LIST, name, family)

    async def list_structure(self, name: str, family: TableFamily = "inet") -> str | None:
        """The same without the elements of sets and maps that have names."""
        return await self._list((*_LIST, "--terse"), name, family)

    async def _list(self, flags: tuple[str, ...], name: str, family: TableFamily) -> str | None:
        status, output, errors = await self.call("", *flags, list_command(name, family))
        if status == 0:
            return output
        if says_absent(errors):
            return None
        raise read_errors(errors, "")

    async def close(self) -> None:
        """Nothing runs between calls."""

    def describe(self) -> str:
        """What this is, for a person."""
        return f"the program {self._program or self._wanted}" + (f" ({self._note})" if self._note else "")

    async def call(self, script: str, *arguments: str) -> tuple[int, str, str]:
        """Run nft once with a script as its input: exit status, output, errors."""
        if self._program is None:
            raise NftMissing(f"there is no program {self._wanted}: install the package nftables")
        async with self._turn:
            child = await self._start(self._program, *arguments)
            try:
                async with asyncio.timeout(self._timeout):
                    child.write(script.encode())
                    child.end_input()
                    await child.wait()
            except TimeoutError:
                raise NftBroken(
                    f"nft did not end within {self._timeout:g} s and was killed", retryable=True
                ) from None
            finally:
                await child.end()
        return self._result(child)

    async def _succeed(self, script: str, *arguments: str) -> None:
        status, _, errors = await self.call(script, *arguments)
        if status != 0:
            raise read_errors(errors, script)

    async def _start(self, program: str, *arguments: str) -> Child:
        try:
            return await Child.start((*self._enter, program, *arguments), self._environment, errors=PIPE)
        except OSError as error:
            raise NftUnavailable(f"cannot start {' '.join((*self._enter, program))}: {error}") from error

    def _result(self, child: Child) -> tuple[int, str, str]:
        status, errors = child.status, child.errors.decode(errors="replace")
        if child.overflowed:
            raise NftTooLarge(MAX_OUTPUT)
        if status is None or status < 0:
            raise NftBroken(f"nft was ended by signal {-(status or 0)}", retryable=True)
        if errors.startswith(("nsenter: ", "unshare: ")):
            raise NftUnavailable(f"cannot enter the network namespace: {errors.strip()}")
        if "JSON support not compiled" in errors:
            raise NftUnavailable(
                "this nft has no JSON support: install one that has (nft -V says `json: yes`)"
            )
        return status, child.output.decode(errors="replace"), errors
