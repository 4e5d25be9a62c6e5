"""Rulesets with one mistake in them: a rule, a verdict, a port or an element that is not as it was."""

from __future__ import annotations

import random
from dataclasses import replace

from policyd_compiler.nft.ast import (
    Accept,
    Chain,
    Drop,
    Return,
    Rule,
    Set,
    Table,
    VerdictMap,
    Vmap,
)
from policyd_compiler.nft.expressions import Match, Numbers
from policyd_compiler.nft.keys import Key, KeyType

KINDS = ("rule", "verdict", "order", "number", "member", "mapped")


def damaged(rng: random.Random, table: Table) -> Table:
    """The same ruleset with one mistake; some mistakes change no packet's fate."""
    while True:
        found = _damaged(rng, table, rng.choice(KINDS))
        if found is not None and found != table:
            return found


def _damaged(rng: random.Random, table: Table, kind: str) -> Table | None:
    if kind == "member":
        sets = [part for part in table.sets if part.elements]
        return _with_set(table, *_without_one(rng, sets)) if sets else None
    if kind == "mapped":
        maps = [part for part in table.maps if part.elements]
        return _with_map(rng, table, rng.choice(maps)) if maps else None
    chain = rng.choice([chain for chain in table.chains if chain.rules])
    number = rng.randrange(len(chain.rules))
    rules = list(chain.rules)
    if kind == "rule":
        del rules[number]
    elif kind == "order":
        rng.shuffle(rules)
    else:
        wrong = _wrong_verdict(rng, rules[number]) if kind == "verdict" else _off_by_one(rng, rules[number])
        if wrong is None:
            return None
        rules[number] = wrong
    return _with_chain(table, chain, tuple(rules))


def _wrong_verdict(rng: random.Random, rule: Rule) -> Rule | None:
    if isinstance(rule.action, Vmap):
        return None
    return replace(rule, action=rng.choice((Accept(), Drop(), Return())))


def _off_by_one(rng: random.Random, rule: Rule) -> Rule | None:
    at = [n for n, match in enumerate(rule.matches) if isinstance(match.right, Numbers)]
    if not at:
        return None
    number = rng.choice(at)
    match = rule.matches[number]
    assert isinstance(match.right, Numbers)
    intervals = list(match.right.intervals)
    which = rng.randrange(len(intervals))
    low, high = intervals[which]
    if low == high:
        del intervals[which]
    else:
        intervals[which] = (low, high - 1)
    if not intervals:
        return None
    changed: Match = replace(match, right=Numbers(tuple(intervals)))
    return replace(rule, matches=(*rule.matches[:number], changed, *rule.matches[number + 1 :]))


def _without_one(rng: random.Random, sets: list[Set]) -> tuple[Set, tuple[Key, ...]]:
    part = rng.choice(sets)
    number = rng.randrange(len(part.elements))
    return part, (*part.elements[:number], *part.elements[number + 1 :])


def _with_set(table: Table, part: Set, elements: tuple[Key, ...]) -> Table:
    return replace(table, sets=tuple(replace(p, elements=elements) if p is part else p for p in table.sets))


def _with_map(rng: random.Random, table: Table, part: VerdictMap) -> Table:
    number = rng.randrange(len(part.elements))
    elements = list(part.elements)
    key, _ = elements.pop(number)
    others = [verdict for _, verdict in part.elements if part.key is not KeyType.IFNAME]
    if others and rng.random() < 0.5:
        elements.insert(number, (key, rng.choice(others)))
    changed = replace(part, elements=tuple(elements))
    return replace(table, maps=tuple(changed if p is part else p for p in table.maps))


def _with_chain(table: Table, chain: Chain, rules: tuple[Rule, ...]) -> Table:
    changed = replace(chain, rules=rules)
    return replace(table, chains=tuple(changed if c is chain else c for c in table.chains))


def without_rules(table: Table, prefix: str) -> Table:
    """The same ruleset, but that chains whose names begin so have no rules: their packets come back."""
    emptied = (replace(c, rules=()) if c.name.startswith(prefix) else c for c in table.chains)
    return replace(table, chains=tuple(emptied))
