"""Rules of a NetworkPolicy → IR rules: peers as hosts and address ranges, ports as numbers.

Named ports end here. For ingress a name means a port of the pod that the policy selects (NP-050); for egress
a port of each destination pod (NP-051). A name that resolves nowhere matches nothing (NP-054).
"""

from __future__ import annotations

import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, assert_never

from policyd.cluster.index import PodIndex, bits_of
from policyd.cluster.origins import origin_of
from policyd.kube.legal import contradicts, legal
from policyd.kube.objects import (
    Cidr,
    IPBlock,
    LabelSelector,
    NamedPort,
    NetworkPolicy,
    Peer,
    PodPeer,
    PolicyPort,
    PolicyRule,
    Protocol,
)
from policyd.kube.registry import NETWORK_POLICY
from policyd_compiler.addr import Ranges, contains, prefix_interval, subtract, union
from policyd_compiler.ir import ANYTHING, Action, Direction, Host, Origin, Peers, Rule
from policyd_compiler.layout import Selected, Written
from policyd_compiler.ports import ALL_NUMBERS, EVERYTHING, NOTHING, PortSet, union_ports


@dataclass(frozen=True, slots=True)
class SubjectPorts:
    """The named ports of a pod that a policy selects, as far as any policy's ingress rule can ask."""

    ports: tuple[NamedPort, ...]

    def numbers(self, name: str, protocol: Protocol) -> list[int]:
        """Every number the pod gives this name in this protocol (NP-052, NP-053)."""
        return [p.number for p in self.ports if p.name == name and p.protocol == protocol]

    def any_protocol(self, name: str) -> tuple[tuple[Protocol, int], ...]:
        """Every protocol and number that the pod gives this name, sorted (CNP-032)."""
        return tuple(sorted({(p.protocol, p.number) for p in self.ports if p.name == name}))


#: An ingress rule: what it is for every pod if it names no port, or else its peers, ports and origins.
_Read: TypeAlias = tuple[Rule | None, Peers, tuple[PolicyPort, ...], tuple[Origin, ...]]


#: All namespaces, also those of which nothing is known, which no NetworkPolicy selects (CNP-020).
ANYWHERE: typing.Final = "*"

#: The peers of a rule that names ports of theirs, its origin, and how it is written.
_Named: TypeAlias = tuple[Peers, Origin, PolicyRule]


@dataclass(frozen=True, slots=True)
class Said:
    """Where a rule of the IR comes from: rules as they are written, of a policy.

    `exposed`: it is about the peers that have this number behind this name only.
    """

    rule: Rule
    policy: NetworkPolicy
    written: tuple[PolicyRule, ...]
    exposed: NamedPort | None = None


class Holders(typing.Protocol):
    """Who holds which addresses: `policyd.cluster.ownership.Claims`, or what keeps them up to date."""

    @property
    def hosts(self) -> Sequence[Host]: ...

    @property
    def disputed(self) -> int:
        """The hosts that several pods claim; 0 if there is none."""

    def held(self, claims: int) -> int:
        """The hosts of which every claim is among these (NP-166)."""

    def touched(self, claims: int) -> int:
        """The hosts of which any claim is among these (NP-166)."""


class RuleResolver:
    """Resolves the rules of policies against one set of pods. Remembers what it has resolved.

    `index` is of the pods of `claims`. A selector stands for the hosts of which it selects all claimants: an
    entry allows only what it allows to each (NP-166).
    """

    def __init__(self, index: PodIndex, claims: Holders) -> None:
        self._index = index
        self._claims = claims
        self._egress: dict[int, tuple[Rule, ...]] = {}
        self._ingress: dict[tuple[int, SubjectPorts | None], tuple[Rule, ...]] = {}
        self._read: dict[int, tuple[_Read, ...]] = {}
        self._blocks: dict[IPBlock, Peers] = {}
        self._written: dict[tuple[int, Direction, SubjectPorts | None], tuple[Written, ...]] = {}
        self._selected_by: dict[tuple[int, int], tuple[int, int]] = {}
        #: How many pods each peer selects, in the order in which they were resolved.
        self._selecting: dict[tuple[int, int], tuple[NetworkPolicy, PodPeer, int]] = {}
        #: By identity of the rules that were made, what they were made of.
        self.said: dict[int, Said] = {}
        #: By the text that a layout has for them, the peers that it may make a group of.
        self.grouped: dict[str, tuple[NetworkPolicy, PodPeer]] = {}
        #: Named ports of peers that rules ask for, and every number that a peer has behind the name.
        self.asked: dict[tuple[str, Protocol], frozenset[int]] = {}

    @property
    def index(self) -> PodIndex:
        """The pods that it was made for."""
        return self._index

    def written(
        self, policy: NetworkPolicy, direction: Direction, subject: SubjectPorts
    ) -> tuple[Written, ...]:
        """What the rules of a policy say, apart from who is selected; for a pod with these named ports."""
        by_name = direction == "ingress" and uses_names(policy)
        key = (id(policy), direction, subject if by_name else None)
        known = self._written.get(key)
        if known is None:
            rules = policy.ingress if direction == "ingress" else policy.egress
            known = self._written[key] = tuple(
                self._write(
                    policy,
                    rule,
                    subject_ports(rule.ports, subject) if by_name and rule.ports else _numbers(rule),
                    direction,
                )
                for rule in rules or ()
            )
        return known

    def _write(
        self, policy: NetworkPolicy, rule: PolicyRule, ports: PortSet, direction: Direction
    ) -> Written:
        named = sorted(f"{p.protocol} {p.port}" for p in rule.ports or () if isinstance(p.port, str))
        if rule.peers is None:
            return Written((), "", anything=True, ports=ports, named=_names(named, direction))
        blocks = [self._block(peer) for peer in rule.peers if isinstance(peer, IPBlock)]
        together = _together([Peers(), *blocks])
        ranges = f"{together.v4} {together.v6}" if together else ""
        selected = (self._selected(policy, peer) for peer in rule.peers if isinstance(peer, PodPeer))
        by_text = {each.text: each for each in selected if each is not None}
        return Written(
            tuple(by_text.values()), ranges, anything=False, ports=ports, named=_names(named, direction)
        )

    def _selected(self, policy: NetworkPolicy, peer: PodPeer) -> Selected | None:
        """A selector as a layout has it; None for one that can select nothing."""
        scope = policy.namespace if peer.namespaces is None else ""
        found = as_selected(peer, scope, self._matched(policy, peer)[1])
        if found is not None:
            self.grouped.setdefault(found.text, (policy, peer))
        return found

    def _matched(self, policy: NetworkPolicy, peer: PodPeer) -> tuple[int, int]:
        """The pods that a peer of a policy selects, and the hosts of which it selects all claimants."""
        known = self._selected_by.get((id(policy), id(peer)))
        if known is None:
            where = (
                self._index.in_namespace(policy.namespace)
                if peer.namespaces is None
                else self._index.in_namespaces(peer.namespaces)
            )
            matched = where & self._index.select(peer.pods)
            known = self._selected_by[id(policy), id(peer)] = matched, self._claims.held(matched)
        return known

    def held(self, policy: NetworkPolicy, peer: PodPeer) -> int:
        """The hosts of which a peer of a policy selects all claimants (NP-166)."""
        return self._matched(policy, peer)[1]

    def selecting(self) -> tuple[tuple[NetworkPolicy, PodPeer, int], ...]:
        """The peers resolved so far, each with its policy, and how many pods it selects."""
        return tuple(self._selecting.values())

    def again(self, rule: Rule) -> Rule:
        """The same rule as another object: in an isolation each is told from the others by identity."""
        return self._made(replace(self.said[id(rule)], rule=replace(rule)))

    def _made(self, said: Said) -> Rule:
        self.said[id(said.rule)] = said
        return said.rule

    def egress(self, policy: NetworkPolicy) -> tuple[Rule, ...]:
        """The egress rules of a policy: the same for every pod that it selects."""
        rules = self._egress.get(id(policy))
        if rules is None:
            found: list[Rule] = []
            named: dict[tuple[str, Protocol], list[_Named]] = {}
            for number, rule in enumerate(policy.egress or ()):
                origin = origin_of(NETWORK_POLICY, policy, f"egress[{number}]", rule.source)
                peers = self._peers(policy, rule.peers)
                ports = _numbers(rule)
                if ports:
                    made = Rule(Action.ACCEPT, peers, ports, (origin,))
                    found.append(self._made(Said(made, policy, (rule,))))
                for name in dict.fromkeys(
                    (p.port, p.protocol) for p in rule.ports or () if isinstance(p.port, str)
                ):
                    named.setdefault(name, []).append((peers, origin, rule))
            for (port, protocol), whom in named.items():
                found.extend(self._exposed(policy, port, protocol, whom))
            rules = self._egress[id(policy)] = tuple(found)
        return rules

    def _exposed(
        self, policy: NetworkPolicy, port: str, protocol: Protocol, whom: list[_Named]
    ) -> Iterator[Rule]:
        """Rules for a named port of the peers of some rules: one for each number that it has anywhere.

        Of all these rules together, or there would be as many as rules times numbers.
        """
        peers = _together([peers for peers, _, _ in whom])
        origins = tuple(origin for _, origin, _ in whom)
        written = tuple(rule for _, _, rule in whom)
        numbers = self._index.exposing(port, protocol)
        self.asked[port, protocol] = frozenset(number for number, _ in numbers)
        for number, pods in numbers:
            exposing = self._exposing(peers, self._claims.held(pods))
            made = Rule(Action.ACCEPT, exposing, one_port(protocol, number), origins)
            yield self._made(Said(made, policy, written, NamedPort(port, protocol, number)))

    def ingress(self, policy: NetworkPolicy, subject: SubjectPorts) -> tuple[Rule, ...]:
        """The ingress rules of a policy, for a pod with these named ports."""
        key = (id(policy), subject if uses_names(policy) else None)
        rules = self._ingress.get(key)
        if rules is None:
            read = zip(policy.ingress or (), self._read_ingress(policy), strict=True)
            rules = self._ingress[key] = tuple(
                self._made(
                    Said(
                        unnamed or Rule(Action.ACCEPT, peers, subject_ports(ports, subject), origins),
                        policy,
                        (written,),
                    )
                )
                for written, (unnamed, peers, ports, origins) in read
            )
        return rules

    def _read_ingress(self, policy: NetworkPolicy) -> tuple[_Read, ...]:
        """The ingress rules of a policy as far as they are the same for every pod."""
        known = self._read.get(id(policy))
        if known is None:
            found: list[_Read] = []
            for number, rule in enumerate(policy.ingress or ()):
                peers, ports = self._peers(policy, rule.peers), rule.ports or ()
                origins = (origin_of(NETWORK_POLICY, policy, f"ingress[{number}]", rule.source),)
                unnamed = None
                if not any(isinstance(port.port, str) for port in ports):
                    unnamed = Rule(Action.ACCEPT, peers, _numbers(rule), origins)
                found.append((unnamed, peers, ports, origins))
            known = self._read[id(policy)] = tuple(found)
        return known

    def _exposing(self, peers: Peers, exposing: int) -> Peers:
        """Of these peers, the pods that expose a named port. A block gives single addresses of its own
        family (NP-056), never an address outside the cluster."""
        if peers.anything:
            return Peers(hosts=exposing)
        return Peers(
            hosts=peers.hosts & exposing,
            v4=self._addresses_in(exposing, 4, peers.v4),
            v6=self._addresses_in(exposing, 6, peers.v6),
        )

    def _addresses_in(self, mask: int, family: int, ranges: Ranges) -> Ranges:
        if not ranges:
            return ()
        found = (self._claims.hosts[bit].address(family) for bit in bits_of(mask))
        return union((a, a) for a in found if a is not None and contains(ranges, a))

    def _peers(self, policy: NetworkPolicy, peers: tuple[Peer, ...] | None) -> Peers:
        if peers is None:
            return ANYTHING
        hosts = 0
        v4: list[tuple[int, int]] = []
        v6: list[tuple[int, int]] = []
        for peer in peers:
            match peer:
                case PodPeer():
                    matched, held = self._matched(policy, peer)
                    here = (id(policy), id(peer))
                    self._selecting.setdefault(here, (policy, peer, matched.bit_count()))
                    hosts |= held
                case IPBlock():
                    block = self._block(peer)
                    v4.extend(block.v4)
                    v6.extend(block.v6)
                case _:
                    assert_never(peer)
        return Peers(hosts=hosts, v4=union(v4), v6=union(v6))

    def _block(self, block: IPBlock) -> Peers:
        known = self._blocks.get(block)
        if known is None:
            known = self._blocks[block] = block_ranges(block)
        return known


def as_selected(peer: PodPeer, scope: str, hosts: int) -> Selected | None:
    """A selector as a layout has it; None for one that can select nothing.

    `scope`: the one namespace that it is about, or ANYWHERE; empty where labels of namespaces say it. Those
    with the same text select the same pods.
    """
    where, pods = legal(peer.namespaces or LabelSelector()), legal(peer.pods)
    if contradicts(pods) or contradicts(where):
        return None
    wide = scope in ("", ANYWHERE) or not pods
    return Selected(f"{scope or where} {pods}", hosts, len(pods) + len(where), wide)


def _names(named: list[str], direction: Direction) -> str:
    """What names are asked of peers; a subject's have been looked up."""
    return " ".join(named) if direction == "egress" else ""


def _together(many: list[Peers]) -> Peers:
    """All peers of any of these."""
    if len(many) == 1:
        return many[0]
    if any(peers.anything for peers in many):
        return ANYTHING
    hosts = 0
    for peers in many:
        hosts |= peers.hosts
    return Peers(
        hosts=hosts, v4=union(r for p in many for r in p.v4), v6=union(r for p in many for r in p.v6)
    )


def block_ranges(block: IPBlock) -> Peers:
    """The addresses of a block without those of its own excepts (NP-074 to NP-079)."""
    if block.cidr is None:
        return Peers()
    family = block.cidr.family
    holes = union(_interval(cidr) for cidr in block.excepts if cidr.family == family)
    ranges = subtract((_interval(block.cidr),), holes)
    return Peers(v4=ranges) if family == 4 else Peers(v6=ranges)


def uses_names(policy: NetworkPolicy) -> bool:
    """Whether an ingress rule names a port, so that its meaning depends on the selected pod."""
    return any(isinstance(p.port, str) for rule in policy.ingress or () for p in rule.ports or ())


def _interval(cidr: Cidr) -> tuple[int, int]:
    return prefix_interval(cidr.family, cidr.network, cidr.prefix)  # type: ignore[arg-type]


def _numbers(rule: PolicyRule) -> PortSet:
    """The ports of a rule that it does not name."""
    return EVERYTHING if rule.ports is None else union_ports([*map(port_numbers, rule.ports), NOTHING])


def subject_ports(ports: tuple[PolicyPort, ...], subject: SubjectPorts) -> PortSet:
    """The ports of an ingress rule for a pod that its policy selects."""
    found = [port_numbers(port) for port in ports if not isinstance(port.port, str)]
    for port in ports:
        if isinstance(port.port, str):
            found.extend(one_port(port.protocol, n) for n in subject.numbers(port.port, port.protocol))
    return union_ports(found) if found else NOTHING


def port_numbers(port: PolicyPort) -> PortSet:
    """A port entry without a name; nothing for one with a name."""
    match port.port:
        case None:
            low, high = ALL_NUMBERS[0]
        case int(number):
            low, high = number, number if port.end_port is None else port.end_port
        case _:
            return NOTHING
    return one_port(port.protocol, low, high)


def one_port(protocol: Protocol, low: int, high: int | None = None) -> PortSet:
    """A port of a protocol, or all from one to another."""
    high = low if high is None else high
    match protocol:
        case "TCP":
            return PortSet(tcp=((low, high),))
        case "UDP":
            return PortSet(udp=((low, high),))
        case "SCTP":
            return PortSet(sctp=((low, high),))
