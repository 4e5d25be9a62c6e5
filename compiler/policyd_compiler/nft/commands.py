"""Single changes to a table, as values and as nft text: what a plan is made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias, assert_never

from policyd_compiler.nft.ast import Chain, ChainName, Rule, Set, VerdictMap
from policyd_compiler.nft.keys import TYPEOF, Key, KeyType, SetName, print_key
from policyd_compiler.nft.printer import PER_LINE, element_lines, print_rule, quote


@dataclass(frozen=True, slots=True)
class AddTable:
    """Add the table; an existing one is left as it is, with its comment."""

    comment: str = ""


@dataclass(frozen=True, slots=True)
class DeleteTable:
    """Remove the table with all it holds."""


@dataclass(frozen=True, slots=True)
class AddChain:
    """Add a chain: name and hook only. An existing one of the same name is left as it is."""

    chain: Chain


@dataclass(frozen=True, slots=True)
class FlushChain:
    """Remove the rules of a chain; the chain stays, and so does what points to it."""

    chain: ChainName


@dataclass(frozen=True, slots=True)
class DeleteChain:
    """Remove a chain that nothing points to."""

    chain: ChainName


@dataclass(frozen=True, slots=True)
class AddRule:
    """Append a rule to a chain."""

    chain: ChainName
    rule: Rule


@dataclass(frozen=True, slots=True)
class AddSet:
    """Add a set or map with its elements, or add these elements to the one of that name.

    nft reads every interval set of the machine back before `add element`, not before `add set`: with a large
    foreign set that is 100 ms and more against 0.1 ms. So elements are added in this spelling only.
    """

    part: Set | VerdictMap


@dataclass(frozen=True, slots=True)
class DeleteElements:
    """Remove the elements with these keys. One address is an integer, also where the set has intervals."""

    set: SetName
    key: KeyType
    keys: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class FlushSet:
    """Remove every element of a set."""

    set: SetName


@dataclass(frozen=True, slots=True)
class FlushMap:
    """Remove every element of a map."""

    map: SetName


@dataclass(frozen=True, slots=True)
class DeleteSet:
    """Remove a set that nothing refers to."""

    set: SetName


@dataclass(frozen=True, slots=True)
class DeleteMap:
    """Remove a map that nothing refers to."""

    map: SetName


Command: TypeAlias = (
    AddTable
    | DeleteTable
    | AddChain
    | FlushChain
    | DeleteChain
    | AddRule
    | AddSet
    | DeleteElements
    | FlushSet
    | FlushMap
    | DeleteSet
    | DeleteMap
)


def print_commands(table: str, commands: Iterable[Command]) -> str:
    """The commands as a script for `nft -f`, one statement after another."""
    return "".join(f"{line}\n" for command in commands for line in _lines(f"inet {table}", command))


def _lines(table: str, command: Command) -> Iterator[str]:
    match command:
        case AddSet(part):
            yield from _add_set(table, part)
        case DeleteElements(name, kind, keys):
            texts = [print_key(kind, key) for key in keys]
            yield f"delete element {table} {name} {{"
            for start in range(0, len(texts), PER_LINE):
                yield f"\t{', '.join(texts[start : start + PER_LINE])},"
            yield "}"
        case _:
            yield _line(table, command)


def _line(  # noqa: C901, PLR0912 one line for each kind of command
    table: str,
    command: AddTable
    | DeleteTable
    | AddChain
    | FlushChain
    | DeleteChain
    | AddRule
    | FlushSet
    | FlushMap
    | DeleteSet
    | DeleteMap,
) -> str:
    match command:
        case AddTable(comment):
            return f"add table {table}" + (f" {{ comment {quote(comment)}; }}" if comment else "")
        case DeleteTable():
            return f"delete table {table}"
        case AddChain(chain):
            return f"add chain {table} {chain.name}{_hook(chain)}"
        case FlushChain(name):
            return f"flush chain {table} {name}"
        case DeleteChain(name):
            return f"delete chain {table} {name}"
        case AddRule(name, rule):
            return f"add rule {table} {name} {print_rule(rule)}"
        case FlushSet(part):
            return f"flush set {table} {part}"
        case FlushMap(part):
            return f"flush map {table} {part}"
        case DeleteSet(part):
            return f"delete set {table} {part}"
        case DeleteMap(part):
            return f"delete map {table} {part}"
        case _:
            assert_never(command)


def _hook(chain: Chain) -> str:
    if chain.hook is None:
        return ""
    return f" {{ type filter hook {chain.hook.hook} priority {chain.hook.priority}; policy accept; }}"


def _add_set(table: str, part: Set | VerdictMap) -> Iterator[str]:
    word, suffix = ("set", "") if isinstance(part, Set) else ("map", " : verdict")
    spec = f"typeof {TYPEOF[part.key]}{suffix};"
    if part.size:
        spec += f" size {part.size};"
    if part.interval:
        spec += " flags interval;"
    if not part.elements:
        yield f"add {word} {table} {part.name} {{ {spec} }}"
        return
    yield f"add {word} {table} {part.name} {{ {spec} elements = {{"
    yield from (f"\t{line}," for line in element_lines(part))
    yield "}; }"
