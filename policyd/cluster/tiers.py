"""Rules of ClusterNetworkPolicies → stages of the IR, in the order of their priorities.

Of an address that several pods claim an Accept counts only where one entry selects each of them, and a Deny
where it selects any (NP-166). A Pass that selects some and not all denies, as it does where a peer is not
understood: what it passes on a later rule might deny, and what it does not a later rule might accept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, assert_never

from policyd.cluster.index import PodIndex, bits_of
from policyd.cluster.origins import origin_of
from policyd.cluster.ownership import claim_addresses
from policyd.cluster.peers import (
    ANYWHERE,
    Holders,
    SubjectPorts,
    as_selected,
    block_ranges,
    one_port,
    port_numbers,
)
from policyd.kube.cidr import parse_ip
from policyd.kube.objects import (
    ClusterNetworkPolicy,
    IPBlock,
    LabelSelector,
    NamedPort,
    Node,
    NodePeer,
    PodPeer,
    PolicyPort,
    PortName,
    Protocol,
    TierAction,
    TierName,
    TierPort,
    TierRule,
)
from policyd.kube.ports import PROTOCOLS
from policyd.kube.registry import CLUSTER_NETWORK_POLICY
from policyd.kube.selectors import matches
from policyd_compiler.addr import Ranges, contains, subtract, union
from policyd_compiler.ir import ANYTHING, Action, Direction, Origin, Peers, Rule, Stage, Tier
from policyd_compiler.layout import Does, Ordered, Selected, Written
from policyd_compiler.ports import EVERYTHING, NOTHING, PortSet, union_ports

_ACTIONS: Final = {"Accept": Action.ACCEPT, "Deny": Action.DENY, "Pass": Action.PASS}
_DOES: Final[Mapping[TierAction, Does]] = {"Accept": "accept", "Deny": "deny", "Pass": "pass"}
_TIERS: Final[Mapping[TierName, Tier]] = {"Admin": Tier.ADMIN, "Baseline": Tier.BASELINE}

#: The numbers of policies that select a pod, ascending, which is the order in which they are asked.
Numbers = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Whom:
    """The peers of a rule: those that it certainly means, and those that it may mean."""

    certain: Peers
    possible: Peers


@dataclass(frozen=True, slots=True)
class TierSaid:
    """What a rule of the IR was made of; `exposed`: it is about peers with this number behind this name."""

    written: TierRule
    exposed: NamedPort | None = None


class TierPolicies:
    """The ClusterNetworkPolicies of a cluster against one set of pods; remembers what it has resolved."""

    def __init__(
        self,
        policies: Iterable[ClusterNetworkPolicy],
        index: PodIndex,
        claims: Holders,
        nodes: Iterable[Node],
        quarantined: frozenset[str] = frozenset(),
    ) -> None:
        """`quarantined`: by name, policies of which no rule counts as understood."""
        #: In the order in which they are asked, as they are written.
        self.written = in_order(policies)
        self.policies: tuple[ClusterNetworkPolicy, ...] = tuple(
            closed(each) if each.name in quarantined else each for each in self.written
        )
        self._index, self._claims, self._nodes = index, claims, tuple(nodes)
        self._rules: dict[tuple[int, Direction, SubjectPorts | None], tuple[Rule, ...]] = {}
        #: By identity of the rules that were made, what they were made of.
        self.said: dict[int, TierSaid] = {}
        #: Named ports of peers that rules ask for, and every number that a peer has behind the name.
        self.asked: dict[tuple[str, Protocol], frozenset[int]] = {}
        #: By the text that a layout has for them, the peers that it may make a group of.
        self.grouped: dict[str, PodPeer] = {}
        self._selected_by: dict[PodPeer, Selected | None] = {}
        self._by_name = frozenset(n for n, policy in enumerate(self.policies) if _uses_names(policy))

    def select(self, local: int) -> tuple[Mapping[int, Numbers], int]:
        """For each of these claims, the numbers of the policies that select its pod; how many do."""
        found: dict[int, list[int]] = {}
        count = 0
        for number, policy in enumerate(self.policies):
            if policy.subject is None or not says_something(policy):
                continue
            subjects = local & self._matched(policy.subject)
            count += bool(subjects)
            for bit in bits_of(subjects):
                found.setdefault(bit, []).append(number)
        return {bit: tuple(numbers) for bit, numbers in found.items()}, count

    def about(self, numbers: Numbers, direction: Direction) -> Numbers:
        """Those of the policies that say something of a direction."""
        return tuple(n for n in numbers if self._written(n, direction) is not None)

    def asks_names(self, numbers: Numbers) -> bool:
        """Whether what these say of ingress depends on the named ports of the pod."""
        return not self._by_name.isdisjoint(numbers)

    def origin(self, number: int) -> Origin:
        """Where a policy was written."""
        return origin_of(CLUSTER_NETWORK_POLICY, self.policies[number])

    def stage(self, tier: TierName, numbers: Numbers, direction: Direction, subject: SubjectPorts) -> Stage:
        """One tier of one direction. What no rule matches is left to the next tier (CNP-002)."""
        rules: list[Rule] = []
        for number in numbers:
            if self.policies[number].tier == tier:
                rules.extend(self._resolve(number, direction, subject))
        return Stage(_TIERS[tier], tuple(rules), Action.PASS)

    def of_tier(self, tier: TierName, numbers: Numbers) -> bool:
        """Whether any of them is of a tier."""
        return any(self.policies[number].tier == tier for number in numbers)

    def text(self, numbers: Numbers, direction: Direction, subject: SubjectPorts) -> str:
        """What these policies say of a direction, whoever is selected; other for what means else."""
        lines: list[str] = []
        for number in numbers:
            policy = self.policies[number]
            for rule in self._written(number, direction) or ():
                ports = [
                    (port, subject.any_protocol(port.name))
                    if isinstance(port, PortName) and direction == "ingress"
                    else port
                    for port in rule.ports or ()
                ]
                lines.append(f"{policy.tier} {rule.action} {rule.peers!r} {rule.ports is None} {ports!r}")
        return "\n".join(lines)

    def ordered(
        self, tier: TierName, numbers: Numbers, direction: Direction, subject: SubjectPorts, claimant: int
    ) -> Ordered:
        """What the rules of a tier say, for a layout."""
        rules = (
            rule
            for number in numbers
            if self.policies[number].tier == tier
            for rule in self._written(number, direction) or ()
        )
        of = subject if direction == "ingress" else None
        said = tuple((_DOES[rule.action], self._write(rule, of)) for rule in rules)
        return Ordered(said, isolates=False, claimant=claimant)

    def _write(self, rule: TierRule, subject: SubjectPorts | None) -> Written:
        ports = EVERYTHING if rule.ports is None else _numbered(rule.ports, subject)
        names = (port.name for port in rule.ports or () if isinstance(port, PortName))
        named = "" if subject is not None else " ".join(sorted(names))
        if rule.peers is None:
            return Written((), "", anything=True, ports=ports, named=named)
        selected = (self._selected(peer) for peer in rule.peers if isinstance(peer, PodPeer))
        ranges = [repr(peer) for peer in rule.peers if not isinstance(peer, PodPeer)]
        told = tuple(each for each in selected if each is not None)
        return Written(told, " ".join(ranges), anything=False, ports=ports, named=named)

    def _selected(self, peer: PodPeer) -> Selected | None:
        """A selector as a layout has it, as one of a NetworkPolicy; None for one that can select nothing."""
        known = self._selected_by.get(peer, ...)
        if known is not ...:
            return known
        is_all = peer.namespaces is None or not peer.namespaces.requirements
        found = as_selected(peer, ANYWHERE if is_all else "", self._claims.held(self._matched(peer)))
        if found is not None:
            self.grouped[found.text] = peer
        self._selected_by[peer] = found
        return found

    def _written(self, number: int, direction: Direction) -> tuple[TierRule, ...] | None:
        policy = self.policies[number]
        return policy.ingress if direction == "ingress" else policy.egress

    def _resolve(self, number: int, direction: Direction, subject: SubjectPorts) -> tuple[Rule, ...]:
        by_name = direction == "ingress" and number in self._by_name
        key = (number, direction, subject if by_name else None)
        known = self._rules.get(key)
        if known is None:
            policy = self.policies[number]
            known = self._rules[key] = tuple(
                made
                for place, rule in enumerate(self._written(number, direction) or ())
                for made in self._rule(
                    rule,
                    origin_of(CLUSTER_NETWORK_POLICY, policy, f"{direction}[{place}]", rule.source),
                    subject if direction == "ingress" else None,
                )
            )
        return known

    def _rule(self, rule: TierRule, origin: Origin, subject: SubjectPorts | None) -> Iterator[Rule]:
        """The rules that one becomes. `subject`: of ingress, the ports of who is selected."""
        action, whom = _ACTIONS[rule.action], self._whom(rule)
        ports = EVERYTHING if rule.ports is None else _numbered(rule.ports, subject)
        if ports:
            yield from self._made(TierSaid(rule), self._with_action(action, whom, ports, origin))
        if subject is not None:
            return
        for name in dict.fromkeys(port.name for port in rule.ports or () if isinstance(port, PortName)):
            for protocol in PROTOCOLS.values():
                found = self._index.exposing(name, protocol)
                self.asked[name, protocol] = frozenset(number for number, _ in found)
                for number, exposing in found:
                    among, of = self._among(whom, exposing), one_port(protocol, number)
                    said = TierSaid(rule, NamedPort(name, protocol, number))
                    yield from self._made(said, self._with_action(action, among, of, origin))

    def _made(self, said: TierSaid, rules: Iterable[Rule]) -> Iterator[Rule]:
        for rule in rules:
            self.said[id(rule)] = said
            yield rule

    def _with_action(self, action: Action, whom: _Whom, ports: PortSet, origin: Origin) -> Iterator[Rule]:
        """One rule; of a Pass two where claims are disputed: it may mean some claimants and not others."""
        if action is Action.DENY:
            yield Rule(action, whom.possible, ports, (origin,))
            return
        yield Rule(action, whom.certain, ports, (origin,))
        if action is Action.PASS and self._claims.disputed:
            # Behind the Pass, which a block or a node may certainly mean.
            yield Rule(Action.DENY, _doubtful(whom), ports, (origin,))

    def _whom(self, rule: TierRule) -> _Whom:
        if rule.peers is None:
            return _Whom(ANYTHING, ANYTHING)
        certain = possible = 0
        v4: list[tuple[int, int]] = []
        v6: list[tuple[int, int]] = []
        for peer in rule.peers:
            match peer:
                case PodPeer():
                    matched = self._matched(peer)
                    certain |= self._claims.held(matched)
                    possible |= self._claims.touched(matched)
                case IPBlock():
                    block = block_ranges(peer)
                    v4.extend(block.v4)
                    v6.extend(block.v6)
                case NodePeer(selector):
                    for family, value in self._addresses(selector):
                        (v4 if family == 4 else v6).append((value, value))
                case _:
                    assert_never(peer)
        ranges4, ranges6 = union(v4), union(v6)
        sure = Peers(hosts=certain, v4=ranges4, v6=ranges6)
        return _Whom(sure, replace(sure, hosts=possible))

    def _matched(self, peer: PodPeer) -> int:
        """Without a requirement it is all namespaces, also those of which nothing is known yet (CNP-020)."""
        pods = self._index.select(peer.pods)
        if peer.namespaces is None or not peer.namespaces.requirements:
            return pods
        return pods & self._index.in_namespaces(peer.namespaces)

    def _addresses(self, selector: LabelSelector) -> Iterator[tuple[int, int]]:
        for node in self._nodes:
            if matches(selector, dict(node.labels)):
                yield from map(parse_ip, node.addresses)

    def _among(self, whom: _Whom, exposing: int) -> _Whom:
        """Of these, the pods that expose a named port: nothing but pods does (CNP-033, CNP-036)."""
        certain, possible = self._claims.held(exposing), self._claims.touched(exposing)
        return _Whom(self._only(whom.certain, certain), self._only(whom.possible, possible))

    def _only(self, peers: Peers, hosts: int) -> Peers:
        if peers.anything:
            return Peers(hosts=hosts)
        return Peers(
            hosts=peers.hosts & hosts,
            v4=self._inside(hosts, 4, peers.v4),
            v6=self._inside(hosts, 6, peers.v6),
        )

    def _inside(self, hosts: int, family: int, ranges: Ranges) -> Ranges:
        if not ranges:
            return ()
        found = (self._claims.hosts[bit].address(family) for bit in bits_of(hosts))
        return union((a, a) for a in found if a is not None and contains(ranges, a))


def in_order(policies: Iterable[ClusterNetworkPolicy]) -> tuple[ClusterNetworkPolicy, ...]:
    """By tier and priority; where two tie, by name (CNP-012)."""
    return tuple(sorted(policies, key=lambda each: (each.tier != "Admin", each.priority, each.name)))


def says_something(policy: ClusterNetworkPolicy) -> bool:
    """Whether it names a direction at all."""
    return policy.ingress is not None or policy.egress is not None


def closed(policy: ClusterNetworkPolicy) -> ClusterNetworkPolicy:
    """The policy as if no rule of it were understood (CNP-040): it denies where it denied or passed."""
    return ClusterNetworkPolicy(
        policy.name,
        policy.tier,
        policy.priority,
        policy.subject,
        _closed(policy.ingress),
        _closed(policy.egress),
        policy.source,
    )


def _closed(rules: tuple[TierRule, ...] | None) -> tuple[TierRule, ...] | None:
    if rules is None:
        return None
    return tuple(
        TierRule("Accept", (), None, rule.name, rule.source)
        if rule.action == "Accept"
        else TierRule("Deny", None, None, rule.name, rule.source)
        for rule in rules
    )


def selects(subject: PodPeer, labels: Mapping[str, str], namespace: Mapping[str, str] | None) -> bool:
    """Whether a subject selects a pod with these labels, in a namespace with those; None: not known."""
    where = subject.namespaces
    if where is not None and where.requirements and (namespace is None or not matches(where, namespace)):
        return False
    return matches(subject.pods, labels)


def tie_warnings(policies: Iterable[ClusterNetworkPolicy]) -> tuple[str, ...]:
    """A sentence for each priority that several policies of a tier have (CNP-012)."""
    found: dict[tuple[str, int], list[str]] = {}
    for policy in policies:
        if policy.subject is not None:
            found.setdefault((policy.tier, policy.priority), []).append(policy.name)
    return tuple(
        f"ClusterNetworkPolicies {', '.join(sorted(names))} have one priority, {tier} {priority}: which of "
        "them comes first is left to every engine; here the order of their names decides"
        for (tier, priority), names in sorted(found.items())
        if len(names) > 1
    )


def _uses_names(policy: ClusterNetworkPolicy) -> bool:
    return any(isinstance(p, PortName) for rule in policy.ingress or () for p in rule.ports or ())


def _numbered(ports: Sequence[TierPort], subject: SubjectPorts | None) -> PortSet:
    """The ports that are numbers, and of ingress those that the names mean on the pod that is selected."""
    found = [port_numbers(port) for port in ports if isinstance(port, PolicyPort)]
    for port in ports:
        if isinstance(port, PortName) and subject is not None:
            found.extend(one_port(protocol, number) for protocol, number in subject.any_protocol(port.name))
    return union_ports(found) if found else NOTHING


def _doubtful(whom: _Whom) -> Peers:
    certain, possible = whom.certain, whom.possible
    if possible.anything:
        return Peers()
    return Peers(
        hosts=possible.hosts & ~certain.hosts,
        v4=subtract(possible.v4, certain.v4),
        v6=subtract(possible.v6, certain.v6),
    )


#: For a cluster without ClusterNetworkPolicies.
NO_TIERS: Final = TierPolicies((), PodIndex((), {}), claim_addresses((), ()), ())
