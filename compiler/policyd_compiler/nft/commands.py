"""Changes of a table, as values and as nft text: what a plan is made of.

A change is a verb and the part that it is about, as in nft's own commands: one printer, one parser and one
step of the fake kernel for each kind of part.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from policyd_compiler.errors import CompilerBug
from policyd_compiler.nft.ast import Chain, ChainName, Counter, Rule, Set, TableFamily, VerdictMap
from policyd_compiler.nft.keys import TYPEOF, Key, KeyType, SetName, print_key
from policyd_compiler.nft.printer import PER_LINE, element_lines, print_hook, print_rule, quote

Verb: TypeAlias = Literal["add", "flush", "delete"]
PartKind: TypeAlias = Literal["chain", "set", "map", "counter"]


@dataclass(frozen=True, slots=True)
class WholeTable:
    """The table with all it holds. Added where there is one, that stays as it is, with its comment."""

    comment: str = ""


@dataclass(frozen=True, slots=True)
class ChainRule:
    """A rule at the end of a chain."""

    chain: ChainName
    rule: Rule


@dataclass(frozen=True, slots=True)
class Elements:
    """The elements with these keys. One address is an integer, also where the set has intervals.

    Except with `interval`: then keys are as in such a set, (low, high) for one address, too. As text both are
    the same; who writes bytes must know what he deletes from, as an interval is two elements to the kernel.
    """

    set: SetName
    key: KeyType
    keys: tuple[Key, ...]
    interval: bool = False


@dataclass(frozen=True, slots=True)
class Named:
    """A part by its kind and name."""

    kind: PartKind
    name: str


Addable: TypeAlias = WholeTable | Counter | Chain | ChainRule | Set | VerdictMap
Part: TypeAlias = Addable | Elements | Named


@dataclass(frozen=True, slots=True)
class Change:
    """One command. `add`, `flush` and `delete` make the combinations that there are."""

    verb: Verb
    part: Part


def add(part: Addable) -> Change:
    """Add a part.

    A chain is added without rules; one of its name is left as it is. A set or map comes with its elements,
    which are added to one of its name: nft reads every interval set of the machine back before `add element`,
    not before `add set`, and with a large foreign set that is 100 ms and more against 0.1 ms.
    """
    return Change("add", part)


def flush(kind: PartKind, name: str) -> Change:
    """Remove the rules of a chain, or the elements of a set or map; the part itself stays."""
    return Change("flush", Named(kind, name))


def delete(kind: PartKind, name: str) -> Change:
    """Remove a part that nothing refers to."""
    return Change("delete", Named(kind, name))


def print_changes(table: str, changes: Iterable[Change], family: TableFamily = "inet") -> str:
    """The changes as a script for `nft -f`, one statement after another."""
    return "".join(f"{line}\n" for change in changes for line in _lines(f"{family} {table}", change))


def _lines(table: str, change: Change) -> Iterator[str]:
    match change.verb, change.part:
        case "add", (Set() | VerdictMap()) as part:
            yield from _add_set(table, part)
        case "delete", Elements(name, kind, keys):
            texts = [print_key(kind, key) for key in keys]
            yield f"delete element {table} {name} {{"
            for start in range(0, len(texts), PER_LINE):
                yield f"\t{', '.join(texts[start : start + PER_LINE])},"
            yield "}"
        case _:
            yield _line(table, change)


def _line(table: str, change: Change) -> str:
    match change.verb, change.part:
        case "add", WholeTable(comment):
            return f"add table {table}" + (f" {{ comment {quote(comment)}; }}" if comment else "")
        case "delete", WholeTable():
            return f"delete table {table}"
        case "add", Chain(name, (), hook):
            return f"add chain {table} {name}" + (f" {{ {print_hook(hook)} }}" if hook else "")
        case "add", Counter(name):
            return f"add counter {table} {name}"
        case "add", ChainRule(name, rule):
            return f"add rule {table} {name} {print_rule(rule)}"
        case ("flush" | "delete") as verb, Named(kind, name) if (verb, kind) != ("flush", "counter"):
            return f"{verb} {kind} {table} {name}"
        case verb, part:
            raise CompilerBug(f"nothing to {verb}: {part}")


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
