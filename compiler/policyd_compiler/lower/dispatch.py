"""The base chains, as a table of data, and the maps through which a packet finds its endpoint's chain.

Base chains and dispatch maps depend on the options only, not on policies, so that a change of policy never
touches a rule that every packet meets.
"""

from __future__ import annotations

from policyd_compiler.ir import Snapshot
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
    Goto,
    Hook,
    Icmpv6Types,
    IfnameInSet,
    Jump,
    KeyType,
    L4Proto,
    PairInSet,
    Reject,
    Rule,
    Set,
    SetName,
    Side,
    TcpNotSyn,
    Verdict,
    VerdictMap,
)
from policyd_compiler.options import Options

FAMILIES: tuple[Family, ...] = (4, 6)

#: MLD queries, reports and done (130-132), ND (133-137) and MLDv2 reports (143): a pod's own link (NP-083).
LINK_ICMPV6 = Icmpv6Types(((130, 137), (143, 143)))
#: Multicast and link-local destinations are never a local pod's address.
_NOT_A_POD: dict[int, tuple[tuple[int, int], ...]] = {
    4: ((0xE0000000, 4),),
    6: ((0xFE80 << 112, 10), (0xFF00 << 112, 8)),
}


def _jump(name: str) -> Jump:
    return Jump(ChainName(name))


#: What every packet meets first, cheapest test first: a new flow pays for each rule that stands here.
_ESTABLISHED = Rule(Accept(), (CtState("established"),))
_NOT_NEW = Rule(_jump("not-new"), (CtState("new", negated=True),))
#: A connection whose entry was removed must not come back by a packet from its middle (NP-122, NP-124).
_NOT_OPENING = Rule(_jump("stray"), (TcpNotSyn(), CtState("new")))
_FROM_POD = tuple(Rule(AddrVmap(f, "saddr", SetName(f"egress{f}"))) for f in FAMILIES)
#: By family in turn, so that an IPv4 packet is done before it meets a rule for IPv6.
_WAYS: tuple[tuple[Side, str], ...] = (("saddr", "egress"), ("daddr", "ingress"))
_JUDGE = tuple(Rule(AddrVmap(f, side, SetName(f"{name}{f}"))) for f in FAMILIES for side, name in _WAYS)


def base_chains(options: Options) -> tuple[Chain, ...]:
    """Every chain that depends on the options alone (hooks and priorities: decisions 13)."""
    hairpin = (Rule(_jump("hairpin"), (CtDnat(),)),) if options.hairpin == "allow" else ()
    from_pod = Rule(_jump("from-unknown"), (IfnameInSet("iifname", SetName("pod-interfaces")),))
    to_pod = Rule(_jump("to-unknown"), (IfnameInSet("oifname", SetName("pod-interfaces")),))
    spoofed = Rule(Drop(), (FibLocal(),), comment="a forwarded packet with an address of this node as source")
    guard = (from_pod, to_pod) if options.pod_interfaces else ()
    opening = (_NOT_NEW, _NOT_OPENING)
    forward = (_ESTABLISHED, *opening, spoofed, *guard, *hairpin, *_JUDGE)
    own_node = Rule(Accept(), (FibLocal(),), comment="this node reaches its own pods")
    # Packets of pods pass `output` under IPVS only.
    output = (_ESTABLISHED, own_node, *opening, *hairpin, *_JUDGE)
    chains = [
        _base("forward", -10, forward),
        _base("output", 10, output),
        *_fixed_chains(),
    ]
    if options.node_egress == "enforce" or guard:
        judge = _FROM_POD if options.node_egress == "enforce" else ()
        # Behind IPVS, which takes its packets at 98 and 99.
        chains.append(_base("input", 101, (_ESTABLISHED, *opening, *guard[:1], *judge)))
    if options.hairpin == "allow":
        rules = tuple(Rule(Accept(), (PairInSet(f, SetName(f"itself{f}")),)) for f in FAMILIES)
        chains.append(
            Chain(ChainName("hairpin"), rules, notes=("a pod that reaches itself through its Service",))
        )
    if guard:
        chains.extend(_guard_chains())
    if options.deny == "reject":
        chains.append(Chain(ChainName("deny"), (Rule(Reject()),)))
    return tuple(chains)


def _base(hook: str, priority: int, rules: tuple[Rule, ...]) -> Chain:
    return Chain(ChainName(hook), rules, Hook(hook, priority))  # type: ignore[arg-type]


def _fixed_chains() -> tuple[Chain, ...]:
    stray = tuple(
        Rule(Drop(), (AddrInSet(f, side, SetName(f"governed{f}")),))
        for f in FAMILIES
        for side in ("saddr", "daddr")
    )
    not_new = (
        # Only ICMP errors: data flows that a conntrack helper announces are judged like any other (NP-086).
        Rule(Accept(), (CtState("related"), L4Proto(("icmp", "ipv6-icmp")))),
        # ND and MLD are untracked or, in part, invalid to conntrack.
        Rule(Accept(), (LINK_ICMPV6,)),
        Rule(_jump("stray"), (CtState("invalid"),)),
    )
    return (
        Chain(ChainName("not-new"), not_new),
        Chain(
            ChainName("stray"), stray, notes=("belongs to no connection: dropped for pods under a policy",)
        ),
    )


def _guard_chains() -> tuple[Chain, ...]:
    """Pods of this node that are not known yet neither send nor receive (NP-107, decisions 4)."""
    sends = tuple(
        Rule(Drop(), (AddrInSet(f, "saddr", SetName(f"known{f}"), negated=True), *_elsewhere(f, "saddr")))
        for f in FAMILIES
    )
    receives = tuple(
        Rule(Drop(), (AddrInSet(f, "daddr", SetName(f"known{f}"), negated=True), *_elsewhere(f, "daddr")))
        for f in FAMILIES
    )
    return (
        Chain(ChainName("from-unknown"), sends, notes=("from an interface of a pod, not from a known pod",)),
        Chain(ChainName("to-unknown"), receives, notes=("to an interface of a pod, not to a known pod",)),
    )


def _elsewhere(family: Family, side: str) -> tuple[AddrInPrefix, ...]:
    if side == "saddr" and family == 4:
        return ()
    return tuple(
        AddrInPrefix(family, side, network, prefix, negated=True)  # type: ignore[arg-type]
        for network, prefix in _NOT_A_POD[family]
    )


def dispatch_map(name: str, elements: list[tuple[int, Verdict]]) -> VerdictMap:
    """A map from this node's pod addresses to the chains that judge them; `name` ends in the family."""
    key = KeyType.V4 if name.endswith("4") else KeyType.V6
    ordered = tuple(sorted(elements, key=lambda element: element[0]))
    return VerdictMap(SetName(name), key, ordered, size=_capacity(len(ordered)))


def _capacity(count: int) -> int:
    """Room for a node's pods in a hash table of fixed size; a power of two, so that it seldom changes."""
    return max(1024, 1 << (2 * count).bit_length())


def root_sets(snapshot: Snapshot, options: Options) -> tuple[Set, ...]:
    """The sets that base chains name; their names never change, only their elements."""
    sets: list[Set] = []
    for family in FAMILIES:
        key = KeyType.V4 if family == 4 else KeyType.V6
        pair = KeyType.V4_PAIR if family == 4 else KeyType.V6_PAIR
        known = {e.host.address(family): e for e in snapshot.endpoints}
        known.pop(None, None)
        addresses = sorted(a for a in known if a is not None)
        governed = tuple(a for a in addresses if known[a].ingress or known[a].egress)
        sets.append(Set(SetName(f"governed{family}"), key, governed))
        if options.hairpin == "allow":
            sets.append(Set(SetName(f"itself{family}"), pair, tuple((a, a) for a in governed)))
        if options.pod_interfaces:
            sets.append(Set(SetName(f"known{family}"), key, tuple(addresses), size=_capacity(len(addresses))))
    if options.pod_interfaces:
        names = tuple(sorted(set(options.pod_interfaces)))
        sets.append(Set(SetName("pod-interfaces"), KeyType.IFNAME, names, interval=True))
    return tuple(sets)


def deny_verdict(options: Options) -> Verdict:
    """How a packet that policy forbids is refused."""
    return Drop() if options.deny == "drop" else Goto(ChainName("deny"))
