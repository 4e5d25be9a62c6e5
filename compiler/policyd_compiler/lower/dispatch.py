"""The base chains: what every packet meets, cheapest question first.

They are the only chains with fixed names, and the only ones whose rules ever change: all else is named by its
content. A question whose set would be empty is not asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from policyd_compiler.lower.chains import FROM_NODE, SPOOFED
from policyd_compiler.lower.guard import Guard
from policyd_compiler.lower.link import link_rules
from policyd_compiler.lower.objects import Objects
from policyd_compiler.lower.roots import Roots
from policyd_compiler.lower.states import ERRORS, ESTABLISHED, INVALID, MIDDLE, NEW
from policyd_compiler.nft.ast import (
    Accept,
    Chain,
    ChainName,
    Hook,
    Jump,
    Rule,
    Vmap,
)
from policyd_compiler.nft.expressions import (
    Field,
    InSet,
    Match,
    Word,
    address_field,
    pair_field,
)
from policyd_compiler.nft.keys import FAMILIES, Family, SetName, Side
from policyd_compiler.nft.packet import HookName
from policyd_compiler.options import Options

_DNAT = Match(Field.CT_STATUS, Word("dnat"))
_OWN_NODE = Rule(Accept(), (FROM_NODE,), comment="this node reaches its own pods")


def base_chains(roots: Roots, guard: Guard, options: Options, objects: Objects) -> tuple[Chain, ...]:
    """The chains at the hooks (decisions 13), always all three; and, in `objects`, what they jump to."""
    # By family in turn, so that an IPv4 packet is done before it meets a rule for IPv6.
    judge = tuple(
        rule
        for family in FAMILIES
        for rule in (
            *_dispatch(family, "saddr", roots.egress),
            *_dispatch(family, "daddr", roots.ingress),
        )
    )
    from_pod = tuple(rule for family in FAMILIES for rule in _dispatch(family, "saddr", roots.egress))
    to_node = (*guard.sends_to_node, *(from_pod if options.node_egress == "enforce" else ()))
    opening = _opening(roots, guard, objects, to_node=bool(to_node), from_node=bool(judge))
    # At last for all whom no chain has judged; the chains of ingress ask it themselves.
    hairpin = _hairpin(roots, objects)
    through_service = tuple(replace(rule, matches=(_DNAT,)) for rule in hairpin)
    forward = (*opening.forward, *guard.sends, *guard.receives, *through_service, *judge, SPOOFED)
    # What the node sends to a pod may answer what the pod asked for: there the pod's egress is judged
    # (NP-165).
    strict = options.node_egress == "enforce"
    from_node = (*opening.strays, _OWN_NODE) if strict else (_OWN_NODE, *opening.strays)
    return (
        _base("forward", -10, (*guard.forged, ESTABLISHED, *forward)),
        # Behind IPVS, which takes its packets at 98 and 99.
        _base(
            "input", 101, (*guard.forged_to_node, ESTABLISHED, *opening.input, *to_node) if to_node else ()
        ),
        # Packets of pods pass `output` under IPVS only, which marks no connection as rewritten: a pod that
        # sends to itself from here came through its Service.
        _base("output", 10, (ESTABLISHED, *from_node, *hairpin, *judge) if judge else ()),
    )


def _base(hook: HookName, priority: int, rules: tuple[Rule, ...]) -> Chain:
    return Chain(ChainName(hook), rules, Hook(hook, priority))


def _dispatch(family: Family, side: Side, maps: Mapping[Family, SetName]) -> tuple[Rule, ...]:
    return (Rule(Vmap(address_field(family, side), maps[family])),) if family in maps else ()


@dataclass(frozen=True, slots=True)
class _Opening:
    """What opens no connection, at each hook. `strays` are the rules for `output`."""

    forward: tuple[Rule, ...] = ()
    input: tuple[Rule, ...] = ()
    strays: tuple[Rule, ...] = ()


def _opening(roots: Roots, guard: Guard, objects: Objects, *, to_node: bool, from_node: bool) -> _Opening:
    """The link's own traffic and errors pass; strays go on where they would be allowed as answers, too.

    `to_node`: whether what pods send to their node is judged; `from_node`: whether anything is in `output`.

    What a pod sends to its node is judged as it goes: the node reaches its pods, so any answer is allowed.
    """
    if not roots.govern and not guard.of_pods:
        return _Opening()
    link = link_rules(guard.of_pods)
    stray = _stray(roots, objects)
    invalid = tuple(Rule(rule.action, INVALID) for rule in stray)
    middle = tuple(Rule(rule.action, MIDDLE) for rule in stray)

    def not_new(rules: tuple[Rule, ...]) -> Rule:
        chain = objects.add_chain("not-new", "", rules, ())
        return Rule(Jump(chain), (replace(NEW, negated=True),))

    return _Opening(
        (not_new((*link, *guard.sends, SPOOFED, ERRORS, *invalid)), *middle),
        (not_new((*link, *guard.sends_to_node, ERRORS)),) if to_node else (),
        (not_new((*link, ERRORS, *invalid)), *middle) if from_node else (),
    )


def _stray(roots: Roots, objects: Objects) -> tuple[Rule, ...]:
    """A jump to what judges a packet as the answer to one with both ends and ports exchanged (NP-165).

    Comes back with what is allowed so; then it is judged as it goes.
    """
    rules = tuple(
        rule
        for family in FAMILIES
        for rule in (
            *_dispatch(family, "saddr", roots.ingress_answers),
            *_dispatch(family, "daddr", roots.egress_answers),
        )
    )
    if not rules:
        return ()
    note = "belongs to no known connection: passes if the policies allow it both ways"
    return (Rule(Jump(objects.add_chain("stray", "", rules, (note,)))),)


def _hairpin(roots: Roots, objects: Objects) -> tuple[Rule, ...]:
    if not roots.itself:
        return ()
    rules = tuple(
        Rule(Accept(), (Match(pair_field(family), InSet(name)),)) for family, name in roots.itself.items()
    )
    return (
        Rule(
            Jump(objects.add_chain("hairpin", "", rules, ("a pod that reaches itself through its Service",)))
        ),
    )
