"""NP5xx: ClusterNetworkPolicies, as they are written: ties, rules out of reach, what a Deny takes along."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

from policyd.kube.cidr import holds, parse_ip
from policyd.kube.objects import (
    NAME_LABEL,
    ClusterNetworkPolicy,
    IPBlock,
    LabelSelector,
    NodePeer,
    PodPeer,
    PolicyPort,
    PortName,
    Protocol,
    Requirement,
    TierPeer,
    TierPort,
    TierRule,
)
from policyd.kube.reading import Path
from policyd.kube.selectors import matches
from policyd.lint.drafts import Draft, Subject
from policyd.lint.redundant import MOST
from policyd.lint.seen import Seen
from policyd.lint.text_rules import DNS
from policyd.lint.within import block_in, implies, port_in

#: Labels of the cluster's DNS where it mostly is, and what an API server listens on.
_DNS_SPACE: Final = {NAME_LABEL: "kube-system"}
_DNS_PODS: Final = {"k8s-app": "kube-dns"}
_API_PORTS: Final = (443, 6443)
_EVERYWHERE: Final = LabelSelector(())


@dataclass(frozen=True, slots=True)
class Placed:
    """A rule, with its policy and its path. By their names policies differ: they are read twice."""

    policy: ClusterNetworkPolicy
    path: Path
    rule: TierRule

    @property
    def text(self) -> str:
        """Its policy, and which of its rules it is."""
        return f"{self.policy.name} {self.path[1]}[{self.path[2]}]"

    def ties(self, other: Placed) -> bool:
        """Whether which of them is asked first is left to every engine (CNP-012)."""
        mine, theirs = self.policy, other.policy
        return mine.name != theirs.name and (mine.tier, mine.priority) == (theirs.tier, theirs.priority)

    def is_before(self, other: Placed) -> bool:
        """Whether it is certainly asked before, in the same tier."""
        if self.policy.name == other.policy.name:
            return int(self.path[2]) < int(other.path[2])
        return self.policy.tier == other.policy.tier and self.policy.priority < other.policy.priority


def tiers(subject: Subject, seen: Seen) -> Iterator[Draft]:
    """All that is found about one ClusterNetworkPolicy."""
    policy = subject.tier
    if policy is None or policy.subject is None:
        return
    everything = seen.once("tiers", lambda: tuple(_rules(seen.tiers)))
    if len(everything) > MOST:
        everything = tuple(_rules((policy,)))
    yield from _ties(policy, seen.tiers)
    for mine in _rules((policy,)):
        others = [each for each in everything if each.path[1] == mine.path[1]]
        yield from _out_of_reach(mine, others)
        yield from _takes_along(mine, others, seen)
        yield from _passes_nothing(mine, others)


def _rules(policies: Sequence[ClusterNetworkPolicy]) -> Iterator[Placed]:
    for policy in policies:
        for direction, rules in (("ingress", policy.ingress), ("egress", policy.egress)):
            yield from (
                Placed(policy, ("spec", direction, number), rule)
                for number, rule in enumerate(rules or ())
                if policy.subject is not None
            )


def _ties(policy: ClusterNetworkPolicy, policies: Sequence[ClusterNetworkPolicy]) -> Iterator[Draft]:
    """NP501: policies of one tier and priority that may decide the same packet otherwise (CNP-012)."""
    same = (p for p in policies if (p.tier, p.priority) == (policy.tier, policy.priority))
    for other in same:
        if other.name >= policy.name:
            continue
        mine, theirs = _rules((policy,)), tuple(_rules((other,)))
        if any(_differ(one, them) for one, them in product(mine, theirs)):
            text = (
                f"is that of {other.name}, too ({policy.tier} {policy.priority}), and their rules overlap: "
                "which is asked first is left to every engine"
            )
            yield Draft("NP501", ("spec", "priority"), text, hint="give one of them another")
            return


def _differ(one: Placed, other: Placed) -> bool:
    if one.path[1] != other.path[1] or one.rule.action == other.rule.action:
        return False
    return _may_share_pods(one, other) and _may_meet(one.rule, other.rule)


def _out_of_reach(mine: Placed, others: Sequence[Placed]) -> Iterator[Draft]:
    """NP502: a rule of which another one decides all, before it is asked (CNP-011)."""
    first = next((o for o in others if o.is_before(mine) and _covers(o, mine)), None)
    if first is not None:
        text = f"is never reached: {first.text} ({first.rule.action}) decides all that it is about"
        yield Draft("NP502", mine.path, text, near=True)


def _takes_along(mine: Placed, others: Sequence[Placed], seen: Seen) -> Iterator[Draft]:
    """NP503: a Deny of egress that means DNS, or nodes, of whole namespaces, with nothing let through before.

    One that selects pods by their labels cuts these off, and is meant so.
    """
    subject = mine.policy.subject
    if mine.path[1] != "egress" or mine.rule.action != "Deny" or not mine.rule.peers:
        return
    if subject is None or subject.pods.requirements:
        return
    let = [o for o in others if o.rule.action != "Deny" and _precedes(o, mine) and _may_share_pods(o, mine)]
    if _names_port(mine.rule.ports, "UDP", (DNS,)) and any(map(_is_dns, mine.rule.peers)):
        passed = (o.rule for o in let if _names_port(o.rule.ports, "UDP", (DNS,)))
        if not any(o.peers is None or any(map(_may_be_dns, o.peers)) for o in passed):
            text = "means the cluster's DNS as well, and nothing before lets UDP 53 pass"
            yield Draft("NP503", mine.path, text, hint="let DNS pass in a rule before it")
    if not _names_port(mine.rule.ports, "TCP", _API_PORTS):
        return
    for name, text in ((n.name, a) for n in seen.nodes for a in n.addresses):
        if not any(isinstance(p, IPBlock) and _holds(p, text) for p in mine.rule.peers):
            continue
        peers = [peer for o in let for peer in o.rule.peers or ()]
        if not any(isinstance(p, NodePeer) or (isinstance(p, IPBlock) and _holds(p, text)) for p in peers):
            said = f"means node {name} ({text}) as well, where an API server or a DNS may listen"
            yield Draft("NP503", mine.path, said, hint="let pass what pods need of nodes")
        return


def _passes_nothing(mine: Placed, others: Sequence[Placed]) -> Iterator[Draft]:
    """NP504: a Pass behind which its tier has no rule that it could skip (CNP-006)."""
    if mine.rule.action != "Pass":
        return
    # A tie may be decided either way.
    later = (o for o in others if mine.is_before(o) or mine.ties(o))
    if not any(o.rule.action != "Pass" and _may_share_pods(o, mine) for o in later):
        text = f"skips nothing: no rule of the tier {mine.policy.tier} comes behind it"
        yield Draft("NP504", mine.path, text)


def _precedes(one: Placed, other: Placed) -> bool:
    return one.is_before(other) or (one.policy.tier == "Admin" and other.policy.tier == "Baseline")


def _covers(wide: Placed, narrow: Placed) -> bool:
    """Whether all that the narrow rule is about, the wide one is about, too."""
    ours, theirs = wide.policy.subject, narrow.policy.subject
    if ours is None or theirs is None or not _pods_in(ours, theirs) or narrow.rule.peers == ():
        return False
    return _peers_in(wide.rule.peers, narrow.rule.peers) and _ports_in(wide.rule.ports, narrow.rule.ports)


def _peers_in(wide: tuple[TierPeer, ...] | None, narrow: tuple[TierPeer, ...] | None) -> bool:
    if wide is None or narrow is None:
        return wide is None
    whole = {p.cidr.family for p in wide if isinstance(p, IPBlock) and p.cidr and not p.cidr.prefix}
    return whole == {4, 6} or all(any(_peer_in(there, here) for there in wide) for here in narrow)


def _peer_in(wide: TierPeer, narrow: TierPeer) -> bool:
    match wide, narrow:
        case PodPeer(), PodPeer():
            return _pods_in(wide, narrow)
        case IPBlock(), IPBlock():
            return block_in(wide, narrow)
        case NodePeer(), NodePeer():
            return implies(narrow.nodes, wide.nodes)
        case _:
            return False


def _pods_in(wide: PodPeer, narrow: PodPeer) -> bool:
    return implies(narrow.pods, wide.pods) and implies(
        narrow.namespaces or _EVERYWHERE, wide.namespaces or _EVERYWHERE
    )


def _ports_in(wide: tuple[TierPort, ...] | None, narrow: tuple[TierPort, ...] | None) -> bool:
    if wide is None or narrow is None:
        return wide is None
    return all(any(_port_in(there, here) for there in wide) for here in narrow)


def _port_in(wide: TierPort, narrow: TierPort) -> bool:
    if isinstance(wide, PortName) or isinstance(narrow, PortName):
        return wide == narrow
    return port_in(wide, narrow)


def _may_share_pods(one: Placed, other: Placed) -> bool:
    """Whether some pod may be selected by both policies."""
    mine, theirs = one.policy.subject, other.policy.subject
    return mine is not None and theirs is not None and not _are_apart(mine, theirs)


def _are_apart(one: PodPeer, other: PodPeer) -> bool:
    """Whether no pod can be both."""
    return _excludes(one.pods, other.pods) or _excludes(
        one.namespaces or _EVERYWHERE, other.namespaces or _EVERYWHERE
    )


def _excludes(one: LabelSelector, other: LabelSelector) -> bool:
    pairs = product(one.requirements, other.requirements)
    return any(_contradicts(a, b) or _contradicts(b, a) for a, b in pairs)


def _contradicts(one: Requirement, other: Requirement) -> bool:
    if one.key != other.key or one.operator not in ("In", "Exists"):
        return False
    mine, theirs = set(one.values), set(other.values)
    if other.operator == "DoesNotExist":
        return True
    if one.operator == "Exists":
        return False
    return (other.operator == "In" and not mine & theirs) or (other.operator == "NotIn" and mine <= theirs)


def _may_meet(one: TierRule, other: TierRule) -> bool:
    """Whether some packet may be matched by both."""
    if one.peers is not None and other.peers is not None:
        pairs = product(one.peers, other.peers)
        if all(isinstance(a, PodPeer) and isinstance(b, PodPeer) and _are_apart(a, b) for a, b in pairs):
            return False
    if one.ports is None or other.ports is None:
        return True
    return any(_may_be_same(a, b) for a, b in product(one.ports, other.ports))


def _may_be_same(one: TierPort, other: TierPort) -> bool:
    if isinstance(one, PortName) or isinstance(other, PortName):
        return not (isinstance(one, PortName) and isinstance(other, PortName)) or one == other
    if one.protocol != other.protocol:
        return False
    (low, high), (first, last) = _numbers(one), _numbers(other)
    return low <= last and first <= high


def _numbers(port: PolicyPort) -> tuple[int, int]:
    return (port.port, port.end_port or port.port) if isinstance(port.port, int) else (0, 65535)


def _names_port(ports: tuple[TierPort, ...] | None, protocol: Protocol, numbers: Sequence[int]) -> bool:
    """Whether any of these is certainly meant."""
    if ports is None:
        return True
    known = [port for port in ports if isinstance(port, PolicyPort) and port.protocol == protocol]
    return any(_numbers(port)[0] <= number <= _numbers(port)[1] for port in known for number in numbers)


def _is_dns(peer: TierPeer) -> bool:
    """Whether a peer certainly means the cluster's DNS: all pods, those of its namespace, all addresses."""
    if isinstance(peer, IPBlock):
        return peer.cidr is not None and peer.cidr.prefix == 0 and not peer.excepts
    return isinstance(peer, PodPeer) and _matches_dns(peer, _DNS_SPACE)


def _may_be_dns(peer: TierPeer) -> bool:
    """Whether one may mean it: by labels that nobody knows of, or by an address."""
    if not isinstance(peer, PodPeer):
        return True
    named = peer.namespaces and any(r.key == NAME_LABEL for r in peer.namespaces.requirements)
    return not named or _matches_dns(PodPeer(peer.namespaces, _EVERYWHERE), _DNS_SPACE)


def _matches_dns(peer: PodPeer, space: dict[str, str]) -> bool:
    return matches(peer.pods, _DNS_PODS) and (peer.namespaces is None or matches(peer.namespaces, space))


def _holds(block: IPBlock, address: str) -> bool:
    family, value = parse_ip(address)
    return block.cidr is not None and holds(block.cidr, family, value)
