"""nft script text → values, for exactly what our printers print: a table, a replacement, commands.

`parse(print(x)) == x`, notes included, for every x in canonical order. `parse_script` reads all forms as the
commands that nft makes of them, each with its line: that is what a fake kernel runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import cast, get_args

from policyd_compiler.nft.ast import (
    Chain,
    ChainName,
    Counter,
    CounterName,
    Hook,
    Rule,
    Set,
    Table,
    TableFamily,
    Verdict,
    VerdictMap,
)
from policyd_compiler.nft.commands import (
    ChainRule,
    Change,
    Elements,
    WholeTable,
    add,
    delete,
    flush,
)
from policyd_compiler.nft.keys import TYPEOF, Key, KeyType, SetName, parse_key
from policyd_compiler.nft.packet import HookName
from policyd_compiler.nft.rule_parser import number, parse_rule, parse_verdict, unquote, word
from policyd_compiler.nft.tokens import ParseError, Tokens, words_of

__all__ = ["ParseError", "Statement", "parse_changes", "parse_replace", "parse_script", "parse_table"]

_KEY_TYPES = {" ".join(words_of(f"type {kind.value}")): kind for kind in KeyType} | {
    " ".join(words_of(f"typeof {TYPEOF[kind]}")): kind for kind in KeyType
}
_FAMILIES: tuple[TableFamily, ...] = get_args(TableFamily)


@dataclass(frozen=True, slots=True)
class Statement:
    """One change of a table, and the line where it stands."""

    line: int
    family: TableFamily
    table: str
    change: Change


def parse_table(text: str) -> Table:
    """Read what `print_table` printed."""
    tokens = Tokens(text)
    tokens.skip_space()
    table = _block(tokens).table()
    tokens.skip_space()
    tokens.expect("")
    return table


def parse_replace(text: str) -> Table:
    """Read what `print_replace` printed."""
    tokens = Tokens(text)
    tokens.skip_space()
    notes = tokens.notes()
    table = _replaced(tokens).table(notes)
    if tokens.peek():
        beside = _replaced(tokens).table(())
        if (beside.family, beside.name) != ("bridge", table.name):
            raise tokens.error(f"no table beside {table.name}: {beside.family} {beside.name}")
        table = replace(table, bridge=beside)
    tokens.expect("")
    return table


def _replaced(tokens: Tokens) -> _Block:
    tokens.expect("add", "table")
    family, name = _place(tokens)
    tokens.expect("\n", "delete", "table", family, name, "\n")
    block = _block(tokens)
    tokens.skip_space()
    return block


def parse_changes(text: str) -> tuple[Change, ...]:
    """Read what `print_changes` printed."""
    return tuple(statement.change for statement in parse_script(text))


def parse_script(text: str) -> tuple[Statement, ...]:
    """Read any script of ours; a table's block becomes the commands that make it."""
    tokens = Tokens(text)
    statements: list[Statement] = []
    tokens.skip_space()
    while tokens.peek():
        if tokens.peek() == "table":
            statements.extend(_block(tokens).statements())
        else:
            statements.append(_statement(tokens))
            tokens.end_statement()
        tokens.skip_space()
    return tuple(statements)


def _statement(tokens: Tokens) -> Statement:
    line, verb, what = tokens.line, tokens.take(), tokens.take()
    family, table = _place(tokens)
    return Statement(line, family, table, _change(tokens, verb, what))


def _place(tokens: Tokens) -> tuple[TableFamily, str]:
    """The family and name of a table."""
    for family in _FAMILIES:
        if tokens.accept(family):
            return family, word(tokens)
    raise tokens.error(f"unsupported family: {tokens.peek()!r}")


def _change(tokens: Tokens, verb: str, what: str) -> Change:
    match verb, what:
        case "add", "table":
            return add(WholeTable(_table_comment(tokens)))
        case "delete", "table":
            return Change("delete", WholeTable())
        case "add", "chain":
            name = ChainName(word(tokens))
            return add(Chain(name, hook=_hook_block(tokens) if tokens.peek() == "{" else None))
        case "add", "counter":
            return add(Counter(CounterName(word(tokens))))
        case "add", "rule":
            return add(ChainRule(ChainName(word(tokens)), parse_rule(tokens)))
        case "add", ("set" | "map"):
            return add(_part(tokens, what, ()))
        case "delete", "element":
            return Change("delete", _elements_to_delete(tokens))
        case "flush", ("chain" | "set" | "map"):
            return flush(what, word(tokens))
        case "delete", ("chain" | "set" | "map" | "counter"):
            return delete(what, word(tokens))
        case _:
            raise tokens.error(f"unsupported command: {verb} {what}")


def _table_comment(tokens: Tokens) -> str:
    if not tokens.accept("{"):
        return ""
    tokens.expect("comment")
    comment = unquote(tokens)
    tokens.end_statement()
    tokens.expect("}")
    return comment


def _hook_block(tokens: Tokens) -> Hook:
    tokens.expect("{")
    tokens.skip_space()
    hook = _hook(tokens)
    tokens.skip_space()
    tokens.expect("}")
    return hook


def _hook(tokens: Tokens) -> Hook:
    tokens.expect("type", "filter", "hook")
    if tokens.peek() not in get_args(HookName):
        raise tokens.error(f"unsupported hook: {tokens.peek()!r}")
    hook = cast(HookName, tokens.take())
    tokens.expect("priority")
    priority = number(tokens, word(tokens))
    tokens.expect(";", "policy", "accept")
    tokens.end_statement()
    return Hook(hook, priority)


# --- tables --------------------------------------------------------------------------------------------


class _Block:
    """A table as it is read, each part with the line where it begins."""

    def __init__(self, line: int, family: TableFamily, name: str) -> None:
        self.line = line
        self.family = family
        self.name = name
        self.comment = ""
        self.counters: list[tuple[int, Counter]] = []
        self.parts: list[tuple[int, Set | VerdictMap]] = []
        self.chains: dict[ChainName, tuple[int, Chain]] = {}
        self.rules: list[tuple[int, ChainName, Rule]] = []

    def table(self, notes: tuple[str, ...] = ()) -> Table:
        """The table; chains are in order of their names, as in every table."""
        return Table(
            self.name,
            sets=tuple(part for _, part in self.parts if isinstance(part, Set)),
            maps=tuple(part for _, part in self.parts if isinstance(part, VerdictMap)),
            chains=tuple(chain for _, (_, chain) in sorted(self.chains.items())),
            comment=self.comment,
            notes=notes,
            family=self.family,
            counters=tuple(counter for _, counter in self.counters),
        )

    def statements(self) -> Iterator[Statement]:
        """What nft makes of the block: chains first, so that elements and rules may name them."""
        yield self._statement(self.line, WholeTable(self.comment))
        for line, counter in self.counters:
            yield self._statement(line, counter)
        for line, chain in self.chains.values():
            yield self._statement(line, Chain(chain.name, hook=chain.hook))
        for line, part in self.parts:
            yield self._statement(line, part)
        for line, chain_name, rule in self.rules:
            yield self._statement(line, ChainRule(chain_name, rule))

    def _statement(
        self, line: int, part: WholeTable | Counter | Chain | ChainRule | Set | VerdictMap
    ) -> Statement:
        return Statement(line, self.family, self.name, add(part))


def _block(tokens: Tokens) -> _Block:
    line = tokens.line
    tokens.expect("table")
    block = _Block(line, *_place(tokens))
    tokens.expect("{")
    tokens.skip_space()
    while not tokens.accept("}"):
        line, what = tokens.line, tokens.take()
        match what:
            case "comment":
                block.comment = unquote(tokens)
            case "counter":
                block.counters.append((line, Counter(CounterName(word(tokens)))))
                tokens.expect("{", "}")
            case "set" | "map":
                block.parts.append((line, _part(tokens, what, tokens.notes())))
            case "chain":
                _chain(tokens, line, block)
            case _:
                raise ParseError(line, f"unexpected {what!r}")
        tokens.end_statement()
        tokens.skip_space()
    return block


def _chain(tokens: Tokens, line: int, block: _Block) -> None:
    notes, name = tokens.notes(), ChainName(word(tokens))
    hook: Hook | None = None
    rules: list[Rule] = []
    tokens.expect("{")
    tokens.skip_space()
    while not tokens.accept("}"):
        if tokens.peek() == "type":
            hook = _hook(tokens)
        else:
            block.rules.append((tokens.line, name, rule := parse_rule(tokens)))
            rules.append(rule)
            tokens.end_statement()
        tokens.skip_space()
    block.chains[name] = (line, Chain(name, tuple(rules), hook, notes))


# --- sets and maps -------------------------------------------------------------------------------------


def _part(tokens: Tokens, what: str, notes: tuple[str, ...]) -> Set | VerdictMap:
    name = SetName(word(tokens))
    tokens.expect("{")
    tokens.skip_space()
    words = tokens.until(";", "\n", "}")
    if what == "map":
        if words[-2:] != [":", "verdict"]:
            raise tokens.error("expected a map to verdicts")
        words = words[:-2]
    kind = _KEY_TYPES.get(" ".join(words))
    if kind is None:
        raise tokens.error(f"unsupported type: {' '.join(words)}")
    size, interval = 0, False
    elements: tuple[tuple[Key, Verdict | None], ...] = ()
    tokens.skip_space()
    while not tokens.accept("}"):
        match tokens.take():
            case "size":
                size = number(tokens, word(tokens))
            case "flags":
                tokens.expect("interval")
                interval = True
            case "elements":
                elements = tuple(_elements(tokens, kind, interval))
            case other:
                raise tokens.error(f"unexpected {other!r}")
        tokens.end_statement()
        tokens.skip_space()
    if what == "set":
        return Set(name, kind, tuple(key for key, _ in elements), interval, size, notes)
    pairs = tuple((key, verdict) for key, verdict in elements if verdict is not None)
    if len(pairs) != len(elements):
        raise tokens.error("an element of a map without a verdict")
    return VerdictMap(name, kind, pairs, interval, size, notes)


def _elements(tokens: Tokens, kind: KeyType, interval: bool) -> Iterator[tuple[Key, Verdict | None]]:  # noqa: FBT001
    tokens.expect("=", "{")
    tokens.skip_space()
    while not tokens.accept("}"):
        words = _key_words(tokens)
        verdict = parse_verdict(tokens) if tokens.accept(":") else None
        yield _key(tokens, kind, words, interval), verdict
        tokens.skip_space()
        if tokens.peek() != "}":
            tokens.expect(",")
            tokens.skip_space()


def _key_words(tokens: Tokens) -> list[str]:
    words = [tokens.take()]
    while tokens.accept("."):
        words.append(tokens.take())
    return words


def _key(tokens: Tokens, kind: KeyType, words: list[str], interval: bool) -> Key:  # noqa: FBT001 a set's flag
    try:
        return parse_key(kind, words, interval=interval)
    except ValueError as error:
        raise tokens.error(str(error)) from None


def _elements_to_delete(tokens: Tokens) -> Elements:
    name = SetName(word(tokens))
    tokens.expect("{")
    tokens.skip_space()
    found: list[list[str]] = []
    while not tokens.accept("}"):
        found.append(_key_words(tokens))
        tokens.skip_space()
        if tokens.peek() != "}":
            tokens.expect(",")
            tokens.skip_space()
    if not found:
        raise tokens.error("no elements to delete")
    writing = " ".join(map(_writing, found[0]))
    kind = _OF_WRITING.get(writing)
    if kind is None:
        raise tokens.error(f"unsupported key: {' . '.join(found[0])}")
    return Elements(name, kind, tuple(_key(tokens, kind, words, interval=False) for words in found))


_WRITING = {
    "ipv4_addr": "v4",
    "ipv6_addr": "v6",
    "ifname": "name",
    "ether_addr": "ether",
    "integer": "bytes",
}
#: A deletion names no type of keys, but no two are written alike.
_OF_WRITING = {" ".join(_WRITING[kind] for kind in key_type.kinds): key_type for key_type in KeyType}


def _writing(word: str) -> str:
    if word.startswith('"'):
        return "name"
    if word.startswith("0x"):
        return "bytes"
    if word.count(":") == 5 and "::" not in word and all(len(part) == 2 for part in word.split(":")):
        return "ether"
    return "v6" if ":" in word else "v4"
