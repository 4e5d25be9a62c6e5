"""What a gate lets in from everybody of a sort, also from pods and namespaces that come later. Pure.

Of such a pod nothing is known. A rule with an empty selector matches it; one that wants labels may or may
not. So what is open to all is what is open whichever of these match, as `gates.decide` says it of what is not
known. Two selectors that match everybody only together are not seen as doing so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from policyd.ask.gates import FAMILIES, Gate, decide
from policyd.ask.world import World
from policyd.cluster.everywhere import Governed
from policyd.kube.legal import contradicts, legal
from policyd.kube.objects import IPBlock, NodePeer, PodPeer, TierPeer
from policyd_compiler.ir import Action, Origin, Rule
from policyd_compiler.lower.decide import ports_of
from policyd_compiler.lower.port_masks import PortMasks
from policyd_compiler.ports import EVERYTHING, PortSet


def _all_pods(peer: TierPeer | None) -> bool | None:
    """Whether a peer matches all of a sort; None: some of it. None as a peer is everybody.

    No selector of namespaces is the policy's own (NP-036): of a tier there is always one (CNP-020).
    """
    match peer:
        case None:
            return True
        case PodPeer(namespaces, pods):
            wanted = legal(namespaces) if namespaces else ()
            if contradicts(legal(pods)) or contradicts(wanted):
                return False
            anywhere = namespaces is not None and not namespaces.requirements
            return True if anywhere and not pods.requirements else None
        case IPBlock() | NodePeer():
            return None


def _all_addresses(peer: TierPeer | None, family: int) -> bool | None:
    """Addresses of a family that are nobody's in the cluster (CNP-021, CNP-053)."""
    match peer:
        case IPBlock(cidr, excepts) if cidr is not None and cidr.family == family:
            return True if not cidr.prefix and not excepts else None
        case None:
            return True
        case _:
            return False


def _everybody(peer: TierPeer | None) -> bool | None:
    found = {_all_pods(peer), *(_all_addresses(peer, family) for family in FAMILIES)}
    return found.pop() if len(found) == 1 else None


#: To whom something may be open → whether a peer of a rule is all of it, in a family.
MATCHING: dict[str, Callable[[TierPeer | None, int], bool | None]] = {
    "everybody": lambda peer, _: _everybody(peer),
    "pods": lambda peer, _: _all_pods(peer),
    "addresses": _all_addresses,
}


def let_in(world: World, gate: Gate | None, to: str, family: int) -> Iterator[tuple[PortSet, Origin | None]]:
    """Ports that are open to all of `to`, with each rule that opens them; None: no rule had to.

    `family` is that of the addresses; it makes no difference to pods.
    """
    if gate is None:
        yield EVERYTHING, None
        return
    if gate.doubt:  # it is not known who is selected
        return
    masks = PortMasks(ports_of(gate.certain))
    matches: list[tuple[int, Action, int, bool]] = []
    opening: list[tuple[int, Rule]] = []
    for number, stage in enumerate(gate.certain.stages):
        for rule in stage.rules:
            told = [MATCHING[to](peer, family) for peer in _peers(world.certain, rule)]
            matching = True if True in told else None if None in told else False
            if matching is not False:
                ports = masks.mask(rule.ports)
                matches.append((number, rule.action, ports, matching is True))
                if matching and rule.action is Action.ACCEPT:
                    opening.append((ports, rule))
    found, _ = decide(gate.certain.stages, matches, masks.everything)
    left = found
    for ports, rule in opening:
        for origin in rule.origins if ports & found else ():
            yield masks.ports(ports & found), origin
        left &= ~ports
    if left:
        yield masks.ports(left), None


def _peers(governed: Governed, rule: Rule) -> Iterator[TierPeer | None]:
    """The peers of a rule as they are written; None for everybody."""
    tier = governed.tiers.said.get(id(rule))
    if tier is not None:
        # A Deny that stands beside a Pass is about addresses that several pods claim: no stranger's.
        if rule.action.value.lower() == tier.written.action.lower():
            yield from _each(tier.written.peers)
        return
    for written in governed.resolver.said[id(rule)].written:
        yield from _each(written.peers)


def _each(peers: Iterable[TierPeer] | None) -> Iterable[TierPeer | None]:
    return (None,) if peers is None else peers
