"""nft in memory: takes the same scripts, refuses what nft and the kernel refuse, lists the same JSON.

It reads exactly what our printers print; the line of a refusal is where the statement begins.
Faults are injected by the number of the run, so that a test says what goes wrong and when.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Iterable, Mapping
from typing import Literal, TypeAlias

from policyd.applier.backend import NAME, NftBroken, NftRefused, checked, statement_at
from policyd.errors import EnvironmentRefused
from policyd_compiler.nft.ast import Chain, Counter, Set, TableFamily, VerdictMap
from policyd_compiler.nft.commands import Change, WholeTable, print_changes
from policyd_compiler.nft.json_printer import print_replace_json
from policyd_compiler.nft.parser import ParseError, Statement, parse_script
from tests.fakes.fake_table import (
    ABSENT,
    LONG_COMMENT,
    MAX_COMMENT_BYTES,
    MAX_NAME_BYTES,
    TOO_DEEP,
    FakeTable,
    Refusal,
    check_length,
)

#: refuse: the kernel says no. hang: no answer, ever. vanish: the worker dies before anything was done.
#: vanish-after: it dies when all was done, and nobody hears of it.
Fault: TypeAlias = Literal["refuse", "hang", "vanish", "vanish-after"]

#: What a kernel without the module nf_tables_bridge takes no table of.
NO_BRIDGE: tuple[TableFamily, ...] = ("bridge",)
_UNSUPPORTED = "Could not process rule: Operation not supported"

Tables: TypeAlias = dict[tuple[TableFamily, str], FakeTable]


class FakeNft:
    """The nftables of a network namespace that nobody else uses."""

    def __init__(
        self, faults: Mapping[int, Fault] | None = None, *, refuses: Collection[TableFamily] = ()
    ) -> None:
        """`refuses`: families of which this kernel takes no table."""
        self._faults = dict(faults or {})
        self.refuses = refuses
        self._tables: Tables = {}
        #: Scripts run so far, refused ones too; the first run has the number 1.
        self.scripts: list[str] = []

    async def run(self, script: str) -> None:
        """Run a script as one transaction: all of it or nothing."""
        self.scripts.append(script)
        fault = self._faults.get(len(self.scripts))
        match fault:
            case "refuse":
                raise NftRefused("refused on purpose")
            case "hang":
                await asyncio.Event().wait()
            case "vanish":
                raise NftBroken("vanished on purpose", retryable=True)
            case _:
                self._tables = _after(self._tables, script, self.refuses)
        if fault == "vanish-after":
            raise NftBroken("vanished on purpose, when all was done", retryable=True)

    def write(self, table: str, inet: Iterable[Change]) -> None:
        """Change elements as `ElementWriter` does: a script like any other, with its number and its fault."""
        script = print_changes(table, inet)
        self.scripts.append(script)
        fault = self._faults.get(len(self.scripts))
        if fault not in (None, "vanish-after"):
            raise EnvironmentRefused("refused on purpose")
        try:
            self._tables = _after(self._tables, script, self.refuses)
        except NftRefused as error:
            raise EnvironmentRefused(str(error)) from error
        if fault is not None:
            raise EnvironmentRefused("vanished on purpose, when all was done")

    async def check(self, script: str) -> None:
        """Judge a script as `run` would; nothing changes."""
        _after(self._tables, script, self.refuses)

    async def list_table(self, name: str, family: TableFamily = "inet") -> str | None:
        """The JSON text of `nft list table FAMILY NAME`, None where there is none."""
        table = self._tables.get((family, checked(name)))
        return None if table is None else _listing(name, table)

    async def list_structure(self, name: str, family: TableFamily = "inet") -> str | None:
        """The same without the elements of sets and maps."""
        text = await self.list_table(name, family)
        if text is None:
            return None
        listed = json.loads(text)
        for item in listed["nftables"]:
            for kind in item.keys() & {"set", "map"}:
                item[kind].pop("elem", None)
        return json.dumps(listed)

    async def close(self) -> None:
        """Nothing runs."""

    def describe(self) -> str:
        """What this is, for a person."""
        return "no kernel: a fake in memory"


def _listing(name: str, table: FakeTable) -> str:
    """The table as nft lists it: nearly what it reads, without the verbs. There are no handles."""
    head, _, _, *commands = json.loads(print_replace_json(table.table(name)))["nftables"]
    return json.dumps({"nftables": [head, *(command["add"] for command in commands)]})


def _after(tables: Tables, script: str, refuses: Collection[TableFamily]) -> Tables:
    """The tables after a script. Raises NftRefused."""
    try:
        statements = parse_script(script)
    except ParseError as error:
        raise _refused(f"syntax error, {error.text}", error.line, script) from None
    for statement in statements:
        _check_text(statement, script)
        if statement.family in refuses:
            raise _refused(_UNSUPPORTED, statement.line, script)
    after = _apply(tables, statements, script)
    if any(table.too_deep() for table in after.values()):
        # The kernel looks at the whole first; to say which line is wrong it looks again after each.
        _apply(tables, statements, script, deep=True)
        raise _refused(TOO_DEEP, 0, script)
    for table in after.values():
        table.commit()
    return after


def _apply(tables: Tables, statements: tuple[Statement, ...], script: str, *, deep: bool = False) -> Tables:
    after = {name: table.copy() for name, table in tables.items()}
    for statement in statements:
        try:
            _change(after, statement)
            if deep and any(table.too_deep() for table in after.values()):
                raise Refusal(TOO_DEEP)
        except Refusal as refusal:
            raise _refused(str(refusal), statement.line, script) from None
    return after


def _change(tables: Tables, statement: Statement) -> None:
    place, change = (statement.family, statement.table), statement.change
    if isinstance(change.part, WholeTable) and change.verb == "add":
        check_length(statement.table)
        tables.setdefault(place, FakeTable(statement.family, change.part.comment))
        return
    table = tables.get(place)
    if table is None:
        raise Refusal(ABSENT)
    if isinstance(change.part, WholeTable):
        del tables[place]
    else:
        table.change(change)


def _check_text(statement: Statement, script: str) -> None:
    """What nft refuses before it looks at what there is."""
    names: list[str] = [statement.table]
    match statement.change.verb, statement.change.part:
        case "add", Chain(name) | Set(name) | VerdictMap(name) | Counter(name):
            names.append(name)
        case "add", WholeTable(comment) if len(comment.encode()) > MAX_COMMENT_BYTES:
            raise _refused(LONG_COMMENT, statement.line, script)
        case _:
            pass
    for each in names:
        # Too long a name is for the kernel to refuse.
        if NAME.fullmatch(each[:MAX_NAME_BYTES]) is None:
            raise _refused(f"syntax error, unexpected {each}", statement.line, script)


def _refused(message: str, line: int, script: str) -> NftRefused:
    return NftRefused(message, line, statement_at(script, line))
