"""Whom a node's ruleset judges, and where: found by who asks for what, as everywhere (`roles`). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, TypeAlias

from policyd_compiler.errors import CompilerBug
from policyd_compiler.ir import Direction
from policyd_compiler.nft.ast import Chain, Goto, Jump, Rule, Verdict, VerdictMap, Vmap
from policyd_compiler.nft.expressions import ADDRESS_FIELDS, Field
from policyd_compiler.nft.keys import Family, SetName
from policyd_compiler.ruleset import Part, PartId, Ruleset, id_of

#: Whether packets ask for a connection, or answer without one (NP-165).
What: TypeAlias = Literal["asking", "answering"]
#: By what is judged, in which direction, in which family: the verdict for each address.
Leads: TypeAlias = Mapping[tuple[What, Direction, Family], Mapping[int, Verdict]]


def read_leads(ruleset: Ruleset) -> Leads:
    """Whom a ruleset with one base chain `forward` judges, and where."""
    [forward] = [chain for chain in ruleset.hooks if chain.is_at("forward")]
    onward = [rule for chain in ways(ruleset, forward) for rule in chain.rules]
    found: dict[tuple[What, Direction, Family], Mapping[int, Verdict]] = {}
    of_each: tuple[tuple[What, Iterable[Rule]], ...] = (("asking", forward.rules), ("answering", onward))
    for what, rules in of_each:
        for field, name in dispatch_maps(rules):
            family, side = ADDRESS_FIELDS[field]
            # Who answers is the source of an answer, and was asked: its ingress.
            direction: Direction = "egress" if (side == "saddr") == (what == "asking") else "ingress"
            found[what, direction, family] = _verdicts(ruleset[PartId("map", name)])
    return found


def dispatch_maps(rules: Iterable[Rule]) -> Iterator[tuple[Field, SetName]]:
    """The maps that rules ask for the address of one end, with what they ask."""
    for rule in rules:
        if isinstance(rule.action, Vmap) and rule.action.field in ADDRESS_FIELDS:
            yield rule.action.field, rule.action.map


def ways(ruleset: Ruleset, hook: Chain) -> Iterator[Chain]:
    """The chains to which the rules of a base chain lead, without a look-up, and those to which they do."""
    seen, ahead = set[str](), [hook]
    while ahead:
        for rule in ahead.pop().rules:
            if isinstance(rule.action, Jump | Goto) and rule.action.chain not in seen:
                seen.add(rule.action.chain)
                chain = ruleset[PartId("chain", rule.action.chain)]
                if isinstance(chain, Chain):
                    ahead.append(chain)
                    yield chain


def _verdicts(part: Part) -> Mapping[int, Verdict]:
    if not isinstance(part, VerdictMap):
        raise CompilerBug(f"{id_of(part)} leads nowhere")
    return {key: verdict for key, verdict in part.elements if isinstance(key, int)}
