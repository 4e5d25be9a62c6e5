"""What each part of a ruleset is for: said by who asks it for what, never by its name.

So a table that was read back from the kernel says it as well as one that was just made, and a new name of
something needs no reader. A part has one role; the first that fits, in the order in which packets come by.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum

from policyd_compiler.nft.ast import Chain, Goto, Jump, Rule, Set, Table, VerdictMap, Vmap
from policyd_compiler.nft.expressions import InSet, address_field
from policyd_compiler.nft.keys import FAMILIES, FROM, KEY, Family, Interval, Key
from policyd_compiler.ruleset import Part, PartId, Ruleset, closure, id_of

_SOURCES = {address_field(family, "saddr") for family in FAMILIES}


class Role(Enum):
    """What a part is for."""

    HOOK = "a base chain: what a packet meets first"
    WAY = "a chain to which rules lead on from there, whoever the packet is from"
    DISPATCH = "a map that these ask who a packet is from, or for: it leads on to the judge of that pod"
    BINDING = "a set of interface and address: who may send from where"
    PODS = "a set of addresses that these ask about the source: the pods of this node"
    GUARD = "any other set or map that these ask"
    JUDGE = "a chain that a dispatch map leads to: what an isolated pod may be asked or say"
    PEERS = "a set or map of single addresses that judges ask about the other end"
    INNER = "what else judges ask and lead to: ranges, ports"
    LEFT = "what no packet comes to: left by a ruleset before"


def roles(ruleset: Ruleset) -> Mapping[PartId, Role]:
    """The role of each part of a table."""
    hooks = {id_of(chain) for chain in ruleset.hooks}
    ways = closure(hooks, {known: _chains(_rules(part)) for known, part in ruleset.items()})
    rules = [rule for known in ways for rule in _rules(ruleset.get(known))]
    dispatch, pods = set(_dispatch(rules)), set(_about_sources(rules))
    asked = closure(hooks, ruleset.references)
    first = {named for known in ways for named in ruleset.references.get(known, ())}
    judges = {named for known in dispatch for named in ruleset.references.get(known, ())}

    def role(known: PartId, part: Part) -> Role:
        if known not in asked:
            return Role.LEFT
        if known in hooks:
            return Role.HOOK
        if known in ways:
            return Role.WAY
        if known in first:
            if isinstance(part, Set) and part.key in FROM.values():
                return Role.BINDING
            if known in dispatch:
                return Role.DISPATCH
            return Role.PODS if known in pods else Role.GUARD
        if known in judges:
            return Role.JUDGE
        of_hosts = isinstance(part, Set | VerdictMap) and part.key in KEY.values() and not part.interval
        return Role.PEERS if of_hosts else Role.INNER

    return {known: role(known, part) for known, part in ruleset.items()}


def _rules(part: Part | None) -> tuple[Rule, ...]:
    return part.rules if isinstance(part, Chain) else ()


def _chains(rules: tuple[Rule, ...]) -> frozenset[PartId]:
    """Where rules lead, without a look-up."""
    actions = (rule.action for rule in rules)
    return frozenset(PartId("chain", action.chain) for action in actions if isinstance(action, Jump | Goto))


def _dispatch(rules: list[Rule]) -> Iterator[PartId]:
    yield from (PartId("map", rule.action.map) for rule in rules if isinstance(rule.action, Vmap))


def _about_sources(rules: list[Rule]) -> Iterator[PartId]:
    for match in (match for rule in rules for match in rule.matches):
        if isinstance(match.right, InSet) and match.field in _SOURCES:
            yield PartId("set", match.right.set)


def addresses(table: Table, role: Role) -> set[tuple[Family, int]]:
    """The addresses, by family, in the sets and maps of a role."""
    ruleset = Ruleset(table)
    families = {key: family for family in FAMILIES for key in (KEY[family], FROM[family])}
    found: set[tuple[Family, int]] = set()
    for known, of in roles(ruleset).items():
        part = ruleset[known]
        if of is not role or not isinstance(part, Set | VerdictMap) or part.key not in families:
            continue
        keys = part.elements if isinstance(part, Set) else (key for key, _ in part.elements)
        found.update((families[part.key], address) for key in keys if (address := _address(key)) is not None)
    return found


def _address(key: Key | Interval) -> int | None:
    """The address in a key, which it ends with if it says an interface, too."""
    if isinstance(key, tuple):
        where, address = key
        return address if isinstance(where, str) else None
    return key if isinstance(key, int) else None
