"""Syntax tree → nft script text. One form for each value, so equal trees give equal bytes.

Statements stand one to a line, so that an error's line number leads back to a chain or set. Numbers are
printed as numbers except addresses; names of hooks' priorities are never used (decisions 13).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import assert_never, cast

from policyd_compiler.addr import print_v4, print_v6
from policyd_compiler.errors import CompilerBug
from policyd_compiler.nft.ast import (
    Accept,
    Action,
    Chain,
    Continue,
    CounterRef,
    Drop,
    Goto,
    Hook,
    Jump,
    Limit,
    Log,
    Reject,
    Return,
    Rule,
    Set,
    Statement,
    Table,
    Verdict,
    VerdictMap,
    Vmap,
)
from policyd_compiler.nft.keys import TYPEOF, Key, KeyType, print_key
from policyd_compiler.nft.matches import misread, print_match

#: Elements to a line: lines stay short enough to read and few enough to load fast.
PER_LINE = 8


def print_replace(table: Table) -> str:
    """The script that puts `table`, and what is next to it, in the place of such tables, or of none."""
    head = "".join(f"# {note}\n" for note in table.notes)
    name = f"{table.family} {table.name}"
    beside = print_replace(table.bridge) if table.bridge is not None else ""
    return f"{head}add table {name}\ndelete table {name}\n{print_table(table)}{beside}"


def print_table(table: Table) -> str:
    """The table as one block, in nft's own syntax."""
    lines = [f"table {table.family} {table.name} {{"]
    if table.comment:
        lines.append(f"\tcomment {quote(table.comment)}")
    lines.extend(f"\tcounter {counter.name} {{ }}" for counter in table.counters)
    for part in table.parts:
        lines.extend(_set_lines(part))
    # A chain must be known before a map element or a rule names it, so all are declared first.
    lines.extend(f"\tchain {chain.name} {{ }}" for chain in table.chains if chain.hook is None)
    for chain in table.chains:
        lines.extend(_chain_lines(chain))
    lines.append("}")
    return "\n".join(lines) + "\n"


def _set_lines(part: Set | VerdictMap) -> Iterator[str]:
    word = "set" if isinstance(part, Set) else "map"
    suffix = "" if isinstance(part, Set) else " : verdict"
    yield from (f"\t# {note}" for note in part.notes)
    yield f"\t{word} {part.name} {{"
    yield f"\t\ttypeof {TYPEOF[part.key]}{suffix}"
    if part.size:
        yield f"\t\tsize {part.size}"
    if part.interval:
        yield "\t\tflags interval"
    if part.elements:
        yield "\t\telements = {"
        yield from (f"\t\t\t{line}," for line in element_lines(part))
        yield "\t\t}"
    yield "\t}"


def _chain_lines(chain: Chain) -> Iterator[str]:
    if chain.hook is None and not chain.rules and not chain.notes:
        return
    yield from (f"\t# {note}" for note in chain.notes)
    yield f"\tchain {chain.name} {{"
    if chain.hook is not None:
        yield f"\t\t{print_hook(chain.hook)}"
    yield from (f"\t\t{print_rule(rule)}" for rule in chain.rules)
    yield "\t}"


def print_hook(hook: Hook) -> str:
    """What makes a chain a base chain."""
    return f"type filter hook {hook.hook} priority {hook.priority}; policy accept;"


def element_lines(part: Set | VerdictMap) -> Iterator[str]:
    """The elements as text, PER_LINE to a line, without the last comma."""
    texts = list(print_elements(part))
    for start in range(0, len(texts), PER_LINE):
        yield ", ".join(texts[start : start + PER_LINE])


def print_elements(part: Set | VerdictMap) -> Iterable[str]:
    """Each element of a set or map as nft text."""
    show = _key_printer(part)
    if isinstance(part, Set):
        return map(show, part.elements)
    texts = verdict_texts(part)
    return (f"{show(key)} : {text}" for (key, _), text in zip(part.elements, texts, strict=True))


def verdict_texts(part: VerdictMap) -> list[str]:
    """The verdict of each element as text: a few different ones, each printed once, of maybe thousands."""
    distinct = {id(verdict): verdict for _, verdict in part.elements}
    texts = {number: print_verdict(verdict) for number, verdict in distinct.items()}
    return [texts[id(verdict)] for _, verdict in part.elements]


def _key_printer(part: Set | VerdictMap) -> Callable[[Key], str]:
    """How keys are printed: most are single addresses, and there may be many."""
    if not part.interval and part.key in (KeyType.V4, KeyType.V6):
        return cast(Callable[[Key], str], print_v4 if part.key is KeyType.V4 else print_v6)
    return partial(print_key, part.key)


#: Rules and their texts, by number.
_printed: dict[int, tuple[Rule, str]] = {}
_MOST_PRINTED = 2048


def print_rule(rule: Rule) -> str:
    """One rule as it stands in a chain. Raises CompilerBug for one that nft would list otherwise."""
    # By which object it is, as to compare takes as long as to print: a rule is printed for its chain's name,
    # for the kernel, and for each pod's own namespace. What is kept here cannot become another object.
    known = _printed.get(id(rule))
    if known is None or known[0] is not rule:
        if len(_printed) >= _MOST_PRINTED:
            _printed.clear()
        known = _printed[id(rule)] = rule, _print_rule(rule)
    return known[1]


def _print_rule(rule: Rule) -> str:
    if len(rule.matches) > 1 and (match := misread(rule.matches)) is not None:
        raise CompilerBug(f"nft would not list {print_match(match)!r} as it stands in a rule")
    parts = [print_match(match) for match in rule.matches]
    parts.extend(map(print_statement, rule.statements))
    parts.append(print_action(rule.action))
    if rule.comment:
        parts.append(f"comment {quote(rule.comment)}")
    return " ".join(parts)


def print_statement(statement: Statement) -> str:
    """A statement in nft's words."""
    match statement:
        case CounterRef(name):
            return f'counter name "{name}"'
        case Log(prefix, group, snaplen, threshold):
            parts = (
                f" prefix {quote(prefix)}" if prefix else "",
                "" if group is None else f" group {group}",
                f" snaplen {snaplen}" if snaplen else "",
                f" queue-threshold {threshold}" if threshold else "",
            )
            return f"log{''.join(parts)}"
        case Limit(rate, per, burst, over):
            return f"limit rate {'over ' if over else ''}{rate}/{per} burst {burst} packets"
        case _:
            assert_never(statement)


def print_action(action: Action) -> str:
    """A verdict, or the lookup that finds one."""
    match action:
        case Vmap(field, name):
            return f"{field.row.text} vmap @{name}"
        case _:
            return print_verdict(action)


def print_verdict(verdict: Verdict) -> str:
    """A verdict in nft's words."""
    match verdict:
        case Accept():
            return "accept"
        case Drop():
            return "drop"
        case Reject():
            return "reject with icmpx admin-prohibited"
        case Return():
            return "return"
        case Continue():
            return "continue"
        case Jump(chain):
            return f"jump {chain}"
        case Goto(chain):
            return f"goto {chain}"
        case _:
            assert_never(verdict)


def quote(text: str) -> str:
    """A quoted string. nft knows no escapes: quotes and control characters become `'` and a space."""
    clean = "".join(" " if ord(c) < 32 else "'" if c == '"' else c for c in text)
    return f'"{clean}"'
