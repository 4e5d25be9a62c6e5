"""A ruleset by other names where it would change what a packet may be walking on.

Sets of peers keep their names while their members change. Where those cannot be changed in place (`delta`),
they are put beside what there is, like everything new: with a suffix that hashes what changed, and so is all
that refers to them. The meaning is the same; the next plan, or a quiet moment, leads back to the plain names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from policyd_compiler.names import digest
from policyd_compiler.nft.ast import (
    Chain,
    ChainName,
    Goto,
    Jump,
    Rule,
    Set,
    Table,
    Verdict,
    VerdictMap,
    Vmap,
)
from policyd_compiler.nft.expressions import InSet, Match
from policyd_compiler.nft.keys import SetName
from policyd_compiler.nft.printer import print_elements
from policyd_compiler.ruleset import Ruleset, id_of, in_order, is_same


def apart(actual: Table, desired: Table) -> Table:
    """The desired ruleset, or the same without names that the actual one has for other parts."""
    held = {part.name: part for part in actual.parts}
    changed = [part for part in desired.parts if part.name in held and not is_same(held[part.name], part)]
    if desired.bridge is not None and actual.bridge is not None:
        desired = replace(desired, bridge=apart(actual.bridge, desired.bridge))
    return _renamed(desired, changed) if changed else desired


def _renamed(table: Table, changed: list[Set | VerdictMap]) -> Table:
    """With other names for these parts and all that leads to them, but for base chains."""
    content = "\n".join(f"{part.name} {part.size} {', '.join(print_elements(part))}" for part in changed)
    suffix, ruleset = digest(content.encode()), Ruleset(table)
    reached = ruleset.leading_to({id_of(part) for part in changed}) - {id_of(c) for c in ruleset.hooks}
    names = {part.name: f"{part.name}-{suffix}" for part in reached}
    return replace(
        table,
        sets=in_order(replace(p, name=SetName(names.get(p.name, p.name))) for p in table.sets),
        maps=in_order(_map(part, names) for part in table.maps),
        chains=in_order(_chain(chain, names) for chain in table.chains),
    )


def _map(part: VerdictMap, names: Mapping[str, str]) -> VerdictMap:
    if part.name not in names:
        return part
    verdicts = {id(verdict): _verdict(verdict, names) for _, verdict in part.elements}
    elements = tuple((key, verdicts[id(verdict)]) for key, verdict in part.elements)
    return replace(part, name=SetName(names[part.name]), elements=elements)


def _chain(chain: Chain, names: Mapping[str, str]) -> Chain:
    rules = tuple(_rule(rule, names) for rule in chain.rules)
    if chain.name not in names and all(new is old for new, old in zip(rules, chain.rules, strict=True)):
        return chain
    return replace(chain, name=ChainName(names.get(chain.name, chain.name)), rules=rules)


def _rule(rule: Rule, names: Mapping[str, str]) -> Rule:
    matches = tuple(_match(match, names) for match in rule.matches)
    match rule.action:
        case Vmap(field, name) if name in names:
            return replace(rule, matches=matches, action=Vmap(field, SetName(names[name])))
        case (Jump() | Goto()) as verdict if verdict.chain in names:
            return replace(rule, matches=matches, action=_verdict(verdict, names))
        case _:
            return rule if matches == rule.matches else replace(rule, matches=matches)


def _match(match: Match, names: Mapping[str, str]) -> Match:
    if isinstance(match.right, InSet) and match.right.set in names:
        return replace(match, right=InSet(SetName(names[match.right.set])))
    return match


def _verdict(verdict: Verdict, names: Mapping[str, str]) -> Verdict:
    if isinstance(verdict, Jump | Goto) and verdict.chain in names:
        return replace(verdict, chain=ChainName(names[verdict.chain]))
    return verdict
