"""What in a table refers to what: rules to sets, maps and chains, maps to chains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet

from policyd_compiler.nft.ast import Goto, Jump, Rule, Table, Vmap
from policyd_compiler.nft.expressions import InSet
from policyd_compiler.nft.keys import SetName


def references(table: Table) -> Mapping[str, set[str]]:
    """For each name, the chains and maps that refer to it."""
    found: dict[str, set[str]] = {}
    for chain in table.chains:
        for name in (name for rule in chain.rules for name in _names(rule)):
            found.setdefault(name, set()).add(chain.name)
    for part in table.maps:
        for name in {verdict.chain for _, verdict in part.elements if isinstance(verdict, Goto | Jump)}:
            found.setdefault(name, set()).add(part.name)
    return found


def referrers(table: Table, names: AbstractSet[str]) -> set[str]:
    """These names, and those of all that leads to them."""
    return closure(names, references(table))


def reached(table: Table) -> set[str]:
    """The names of all that packets can come to, base chains included."""
    led_by = references(table)
    leads_to: dict[str, set[str]] = {}
    for name, leading in led_by.items():
        for one in leading:
            leads_to.setdefault(one, set()).add(name)
    return closure({chain.name for chain in table.chains if chain.hook is not None}, leads_to)


def closure(names: AbstractSet[str], edges: Mapping[str, AbstractSet[str]]) -> set[str]:
    """These names, and all that edges lead to from them."""
    seen, ahead = set(names), list(names)
    while ahead:
        new = edges.get(ahead.pop(), frozenset()) - seen
        seen |= new
        ahead.extend(new)
    return seen


def asked_by(rule: Rule) -> Iterator[SetName]:
    """The sets and maps that a rule asks."""
    yield from (match.right.set for match in rule.matches if isinstance(match.right, InSet))
    if isinstance(rule.action, Vmap):
        yield rule.action.map


def _names(rule: Rule) -> Iterator[str]:
    """What a rule refers to."""
    yield from asked_by(rule)
    if isinstance(rule.action, Goto | Jump):
        yield rule.action.chain
