"""The base chains: what every packet meets, cheapest question first.

They are the only chains with fixed names, and the only ones whose rules ever change: all else is named by its
content. A question whose set would be empty is not asked.
"""

from __future__ import annotations

from collections.abc import Mapping

from policyd_compiler.lower.objects import Objects
from policyd_compiler.lower.roots import FAMILIES, Roots
from policyd_compiler.nft.ast import (
    Accept,
    AddrInPrefix,
    AddrInSet,
    AddrVmap,
    Chain,
    ChainName,
    CtDnat,
    CtState,
    Drop,
    Family,
    FibLocal,
    Hook,
    HookName,
    Icmpv6Types,
    IfnameInSet,
    Jump,
    L4Proto,
    PairInSet,
    Rule,
    SetName,
    Side,
    TcpNotSyn,
)
from policyd_compiler.options import Options

#: MLD queries, reports and done (130-132), ND (133-137) and MLDv2 reports (143): a pod's own link (NP-083).
LINK_ICMPV6 = Icmpv6Types(((130, 137), (143, 143)))
#: Multicast and link-local addresses are never a local pod's address.
NOT_A_POD: Mapping[Family, tuple[tuple[int, int], ...]] = {
    4: ((0xE0000000, 4),),
    6: ((0xFE80 << 112, 10), (0xFF00 << 112, 8)),
}

_ESTABLISHED = Rule(Accept(), (CtState("established"),))
_SPOOFED = Rule(Drop(), (FibLocal(),), comment="a forwarded packet with an address of this node as source")
_OWN_NODE = Rule(Accept(), (FibLocal(),), comment="this node reaches its own pods")


def base_chains(roots: Roots, options: Options, objects: Objects) -> tuple[Chain, ...]:
    """The chains at the hooks (decisions 13), always all three; and, in `objects`, what they jump to."""
    opening = _opening(roots, objects)
    sends, receives = _guard(roots, objects)
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
    to_node = (*sends, *(from_pod if options.node_egress == "enforce" else ()))
    return (
        _base("forward", -10, (_ESTABLISHED, *opening, _SPOOFED, *sends, *receives, *hairpin, *judge)),
        # Behind IPVS, which takes its packets at 98 and 99.
        _base("input", 101, (_ESTABLISHED, *opening, *to_node) if to_node else ()),
        # Packets of pods pass `output` under IPVS only.
        _base("output", 10, (_ESTABLISHED, _OWN_NODE, *opening, *hairpin, *judge) if judge else ()),
    )


def _base(hook: HookName, priority: int, rules: tuple[Rule, ...]) -> Chain:
    return Chain(ChainName(hook), rules, Hook(hook, priority))


def _dispatch(family: Family, side: Side, maps: Mapping[Family, SetName]) -> tuple[Rule, ...]:
    return (Rule(AddrVmap(family, side, maps[family])),) if family in maps else ()


def _opening(roots: Roots, objects: Objects) -> tuple[Rule, ...]:
    """What opens no connection: errors and the link's own traffic pass, strays of governed pods drop."""
    if not roots.governed and not roots.known:
        return ()
    not_new = [
        # Only ICMP errors: data flows that a conntrack helper announces are judged like any other (NP-086).
        Rule(Accept(), (CtState("related"), L4Proto(("icmp", "ipv6-icmp")))),
        # ND and MLD are untracked or, in part, invalid to conntrack.
        Rule(Accept(), (LINK_ICMPV6,)),
    ]
    opening = []
    if roots.governed:
        strays = tuple(
            Rule(Drop(), (AddrInSet(family, side, roots.governed[family]),))
            for family in roots.governed
            for side in ("saddr", "daddr")
        )
        note = "belongs to no connection: dropped for pods under a policy"
        stray = Jump(objects.add_chain("stray", "", strays, (note,)))
        not_new.append(Rule(stray, (CtState("invalid"),)))
        # A connection whose entry was removed must not come back by a packet from its middle (NP-122).
        opening.append(Rule(stray, (TcpNotSyn(), CtState("new"))))
    return (
        Rule(Jump(objects.add_chain("not-new", "", tuple(not_new), ())), (CtState("new", negated=True),)),
        *opening,
    )


def _hairpin(roots: Roots, objects: Objects) -> tuple[Rule, ...]:
    if not roots.itself:
        return ()
    rules = tuple(Rule(Accept(), (PairInSet(family, name),)) for family, name in roots.itself.items())
    chain = objects.add_chain("hairpin", "", rules, ("a pod that reaches itself through its Service",))
    return (Rule(Jump(chain), (CtDnat(),)),)


def _guard(roots: Roots, objects: Objects) -> tuple[tuple[Rule, ...], tuple[Rule, ...]]:
    """Pods of this node that are not known yet neither send nor receive (NP-107, decisions 4)."""
    if roots.interfaces is None:
        return (), ()
    sends = objects.add_chain(
        "from-unknown",
        "",
        tuple(_unknown(family, "saddr", name) for family, name in roots.known.items()),
        ("from an interface of a pod, not from a known pod",),
    )
    receives = objects.add_chain(
        "to-unknown",
        "",
        tuple(_unknown(family, "daddr", name) for family, name in roots.known.items()),
        ("to an interface of a pod, not to a known pod",),
    )
    return (
        (Rule(Jump(sends), (IfnameInSet("iifname", roots.interfaces),)),),
        (Rule(Jump(receives), (IfnameInSet("oifname", roots.interfaces),)),),
    )


def _unknown(family: Family, side: Side, known: SetName) -> Rule:
    prefixes = () if (family, side) == (4, "saddr") else NOT_A_POD[family]
    elsewhere = (AddrInPrefix(family, side, network, length, negated=True) for network, length in prefixes)
    return Rule(Drop(), (AddrInSet(family, side, known, negated=True), *elsewhere))
