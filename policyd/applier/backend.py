"""How text reaches the kernel: the protocol that every backend keeps, and how it says no.

Text in, JSON out, one table and no other. The caller decides what to do about a refusal; nothing here
retries, because after a failure only reading back shows what the kernel holds.
"""

from __future__ import annotations

import re
from typing import Protocol

from policyd.errors import EnvironmentRefused
from policyd_compiler.nft.ast import TableFamily

#: What nft takes as a name, its own words (`drop`, `set`) apart.
NAME = re.compile(r"[A-Za-z_.][A-Za-z0-9_./-]{0,254}")
#: Where an error of nft begins: `file:line:column-column: Error: `; `internal:0:0-0` where it knows no place.
_ERROR = re.compile(r"^(?:\S*?:(\d{1,9}):(\d+)-\d+: |netlink: )?Error: ", re.MULTILINE)
#: What stands before the contents of a chain, a set or a map.
_HEAD = re.compile(r"\t(?:chain|set|map) |add (?:set|map) |delete element ")
_ABSENT = "No such file or directory"
_FORBIDDEN = "Operation not permitted"
_LONGEST_STATEMENT = 200
_BRACE = " ={\t"


class NftRefused(EnvironmentRefused):
    """The kernel, or nft before it, refused a script: nothing of it is in force.

    `message` is all that nft wrote about the first error, `reason` its first line. `line` counts from 1 and
    is 0 where nft knows no place; `statement` is what the script says in that line, after the name
    of the chain or set around it.
    """

    def __init__(self, message: str, line: int = 0, statement: str = "") -> None:
        self.message = message
        self.reason = message.partition("\n")[0]
        self.line = line
        self.statement = statement
        place = f" line {line} ({shorten(statement)})" if line else " the script"
        super().__init__(f"nft refused{place}: {self.reason}")


class NftUnavailable(EnvironmentRefused):
    """There is no nft here, or no permission to use it. The same call will fail again."""


class NftMissing(NftUnavailable):
    """There is no program nft here."""


class NftBroken(EnvironmentRefused):
    """The process that talks to the kernel ended or hung: what it was to do was done entirely or not at all.

    Read back before you go on. `retryable` says whether another attempt may work.
    """

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable


class NftTooLarge(NftBroken):
    """nft wrote more than anybody reads, and was killed. The same call will do so again."""

    def __init__(self, most: int) -> None:
        super().__init__(f"nft wrote more than {most >> 20} MiB and was killed", retryable=False)


class Nft(Protocol):
    """A way into one network namespace's nftables. Calls at the same time wait for each other."""

    async def run(self, script: str) -> None:
        """Run a script as one transaction: all of it or nothing."""

    async def check(self, script: str) -> None:
        """Let the kernel judge a script as `run` would; nothing changes."""

    async def list_table(self, name: str, family: TableFamily = "inet") -> str | None:
        """The JSON text of `nft list table FAMILY NAME`, None where there is none. Lists nothing else."""

    async def list_structure(self, name: str, family: TableFamily = "inet") -> str | None:
        """The same without the elements of sets and maps that have names: `nft --terse`."""

    async def close(self) -> None:
        """End what runs. The next call would start it again."""

    def describe(self) -> str:
        """What this is, for a person."""


async def delete_tables(nft: Nft, name: str) -> None:
    """Remove the tables of this name with all they hold, if they are there."""
    await nft.run(await removal(nft, name))


async def removal(nft: Nft, name: str) -> str:
    """The script that removes the tables of this name with all they hold, whatever is there."""
    # Added first, so that its absence is no error: `destroy` needs nft 1.0.8 and a kernel 6.3. Not so in
    # family bridge, which a kernel may lack.
    beside = await nft.list_table(checked(name), "bridge") is not None
    script = f"add table inet {name}\ndelete table inet {name}\n"
    return f"{script}delete table bridge {name}\n" if beside else script


def list_command(name: str, family: TableFamily) -> str:
    """The command that lists one table."""
    return f"list table {family} {checked(name)}"


def checked(name: str) -> str:
    """The name, if nft takes it as one: it goes into a command. Raises ValueError."""
    if NAME.fullmatch(name) is None:
        raise ValueError(f"no name of an nft table: {name!r}")
    return name


def read_errors(errors: str, script: str) -> NftRefused | NftUnavailable:
    """What nft wrote when it failed, as an exception about its first error."""
    first = _ERROR.search(errors)
    start, line = (first.end(), int(first[1] or 0)) if first else (0, 0)
    following = _ERROR.search(errors, start)
    message = errors[start : following.start() if following else None].strip()
    refused = NftRefused(message or "nft failed and did not say why", line, statement_at(script, line))
    if _FORBIDDEN in refused.reason:
        return NftUnavailable(
            f"nft: {_FORBIDDEN}: it needs root or CAP_NET_ADMIN in the network namespace, "
            "and a table that no other program owns"
        )
    return refused


def all_errors(errors: str) -> tuple[tuple[int, int, str], ...]:
    """Every error of which nft knows the place, as line, column and the first line of its text."""
    found = (match for match in _ERROR.finditer(errors) if match[1])
    return tuple((int(m[1]), int(m[2]), errors[m.end() :].partition("\n")[0]) for m in found)


def says_forbidden(errors: str) -> bool:
    """Whether a call failed for want of a privilege."""
    return _FORBIDDEN in errors


def says_absent(errors: str) -> bool:
    """Whether a listing failed only because there is no such table."""
    first = _ERROR.search(errors)
    return first is not None and errors[first.end() :].startswith(_ABSENT)


def statement_at(script: str, line: int) -> str:
    """What a script says in a line, after the head of the chain or set around it; empty for line 0."""
    lines = script.split("\n", line)[:line]
    if not 0 < line <= len(lines):
        return ""
    said = lines[-1].strip()
    inside = lines[-1].startswith("\t") and not _HEAD.match(lines[-1])
    head = next((above for above in reversed(lines[:-1]) if _HEAD.match(above)), "") if inside else ""
    return f"{head.strip(_BRACE)}: {said}" if head else said


def shorten(text: str) -> str:
    """The beginning of a long text."""
    return text if len(text) <= _LONGEST_STATEMENT else f"{text[:_LONGEST_STATEMENT]}…"
