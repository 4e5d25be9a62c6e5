"""The base chains: what every packet meets, cheapest question first.

They are the only chains with fixed names, and the only ones whose rules ever change: all else is named by its
content. A question whose set would be empty is not asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from policyd_compiler.lower.chains import FROM_NODE, SPOOFED
from policyd_compiler.lower.objects import Objects
from policyd_compiler.lower.roots import FAMILIES, Roots
from policyd_compiler.nft.ast import (
    Accept,
    Chain,
    ChainName,
    Drop,
    Hook,
    Jump,
    Rule,
    Vmap,
)
from policyd_compiler.nft.expressions import (
    Field,
    InSet,
    Match,
    Numbers,
    Prefix,
    Word,
    address_field,
    numbers,
    pair_field,
)
from policyd_compiler.nft.keys import Family, SetName, Side
from policyd_compiler.nft.packet import PROTOCOL_NUMBERS, HookName
from policyd_compiler.options import Options

#: MLD queries, reports and done (130-132), ND (133-137) and MLDv2 reports (143): a pod's own link (NP-083).
LINK_ICMPV6 = Match(Field.ICMPV6_TYPE, Numbers(((130, 137), (143, 143))))
#: (network, prefix length)
LINK_LOCAL6 = (0xFE80 << 112, 10)
MULTICAST4, MULTICAST6 = (0xE000_0000, 4), (0xFF00 << 112, 8)

_NEW = Match(Field.CT_STATE, Word("new"))
#: A TCP packet that does not open a connection.
_NOT_SYN = Match(Field.TCP_FLAGS, Word("syn"), negated=True)
_ICMP = Match(Field.META_L4PROTO, numbers(PROTOCOL_NUMBERS["icmp"], PROTOCOL_NUMBERS["ipv6-icmp"]))
_ESTABLISHED = Rule(Accept(), (Match(Field.CT_STATE, Word("established")),))
_OWN_NODE = Rule(Accept(), (FROM_NODE,), comment="this node reaches its own pods")


def base_chains(roots: Roots, options: Options, objects: Objects) -> tuple[Chain, ...]:
    """The chains at the hooks (decisions 13), always all three; and, in `objects`, what they jump to."""
    opening = _opening(roots, objects)
    guard = _guard(roots, objects)
    hairpin = _hairpin(roots, objects)
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
    # At last for all whom no chain has judged; the chains of ingress ask it themselves.
    forward = (_ESTABLISHED, *opening, *guard.sends, *guard.receives, *hairpin, *judge, SPOOFED)
    return (
        _base("forward", -10, forward),
        # Behind IPVS, which takes its packets at 98 and 99.
        _base("input", 101, (_ESTABLISHED, *opening, *to_node) if to_node else ()),
        # Packets of pods pass `output` under IPVS only.
        _base("output", 10, (_ESTABLISHED, _OWN_NODE, *opening, *hairpin, *judge) if judge else ()),
    )


def _base(hook: HookName, priority: int, rules: tuple[Rule, ...]) -> Chain:
    return Chain(ChainName(hook), rules, Hook(hook, priority))


def _dispatch(family: Family, side: Side, maps: Mapping[Family, SetName]) -> tuple[Rule, ...]:
    return (Rule(Vmap(address_field(family, side), maps[family])),) if family in maps else ()


def _opening(roots: Roots, objects: Objects) -> tuple[Rule, ...]:
    """What opens no connection: errors and the link's own traffic pass, strays of governed pods drop."""
    if not roots.governed and not roots.known:
        return ()
    not_new = [
        # Only ICMP errors: data flows that a conntrack helper announces are judged like any other (NP-086).
        Rule(Accept(), (Match(Field.CT_STATE, Word("related")), _ICMP)),
        # ND and MLD are untracked or, in part, invalid to conntrack.
        Rule(Accept(), (LINK_ICMPV6,)),
    ]
    opening = []
    if roots.governed:
        strays = tuple(
            Rule(Drop(), (Match(address_field(family, side), InSet(roots.governed[family])),))
            for family in roots.governed
            for side in ("saddr", "daddr")
        )
        note = "belongs to no connection: dropped for pods under a policy"
        stray = Jump(objects.add_chain("stray", "", strays, (note,)))
        not_new.append(Rule(stray, (Match(Field.CT_STATE, Word("invalid")),)))
        # A connection whose entry was removed must not come back by a packet from its middle (NP-122).
        opening.append(Rule(stray, (_NOT_SYN, _NEW)))
    opens_none = Jump(objects.add_chain("not-new", "", tuple(not_new), ()))
    return (Rule(opens_none, (replace(_NEW, negated=True),)), *opening)


def _hairpin(roots: Roots, objects: Objects) -> tuple[Rule, ...]:
    if not roots.itself:
        return ()
    rules = tuple(
        Rule(Accept(), (Match(pair_field(family), InSet(name)),)) for family, name in roots.itself.items()
    )
    chain = objects.add_chain("hairpin", "", rules, ("a pod that reaches itself through its Service",))
    return (Rule(Jump(chain), (Match(Field.CT_STATUS, Word("dnat")),)),)


@dataclass(frozen=True, slots=True)
class _Guard:
    """Rules that close unknown pods: what they send on, what they send to the node, what is sent to them."""

    sends: tuple[Rule, ...] = ()
    sends_to_node: tuple[Rule, ...] = ()
    receives: tuple[Rule, ...] = ()


def _guard(roots: Roots, objects: Objects) -> _Guard:
    """Pods of this node that are not known yet neither send nor receive (NP-107, decisions 4).

    No router forwards link-local addresses, but a bridge does: there they would lead around every policy.
    To its own node a pod may speak with one (NP-151).
    """
    if roots.interfaces is None:
        return _Guard()
    sends = _unknown(roots, objects, "from-unknown", "saddr", {})
    to_node = _unknown(roots, objects, "from-unknown-to-node", "saddr", {6: (LINK_LOCAL6,)})
    receives = _unknown(roots, objects, "to-unknown", "daddr", {4: (MULTICAST4,), 6: (MULTICAST6,)})
    of_pods = InSet(roots.interfaces)
    coming, going = Match(Field.IIFNAME, of_pods), Match(Field.OIFNAME, of_pods)
    return _Guard((Rule(sends, (coming,)),), (Rule(to_node, (coming,)),), (Rule(receives, (going,)),))


def _unknown(
    roots: Roots,
    objects: Objects,
    name: str,
    side: Side,
    exempt: Mapping[Family, tuple[tuple[int, int], ...]],
) -> Jump:
    """A chain that drops packets whose address, on one side, is neither a known pod's nor exempt."""
    rules: list[Rule] = []
    for family, known in roots.known.items():
        field = address_field(family, side)
        elsewhere = (
            Match(field, Prefix(network, length), negated=True) for network, length in exempt.get(family, ())
        )
        rules.append(Rule(Drop(), (Match(field, InSet(known), negated=True), *elsewhere)))
    note = f"{'from' if side == 'saddr' else 'to'} an interface of a pod, but no known pod"
    return Jump(objects.add_chain(name, "", tuple(rules), (note,)))
