"""Isolations of this node's pods, each with all that was made of it; resolved and lowered by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from policyd.cluster.peers import RuleResolver, SubjectPorts
from policyd.cluster.tiers import TierPolicies
from policyd.graph.written import Peer, RuleSource, Selector
from policyd.kube.objects import (
    ClusterNetworkPolicy,
    NetworkPolicy,
    PodPeer,
    PolicyRule,
    PortName,
    Protocol,
    TierRule,
)
from policyd.kube.ports import PROTOCOLS
from policyd_compiler.budget import STEPS, cost_at_most, cost_without_peers, growth_at_most
from policyd_compiler.ir import Action, Direction, Endpoint, Isolation, Rule
from policyd_compiler.lower.classes import HostIndex
from policyd_compiler.lower.lower import Judging, families_of, judge
from policyd_compiler.lower.objects import Lists, Objects
from policyd_compiler.nft import ast
from policyd_compiler.nft.ast import ChainName, Verdict
from policyd_compiler.nft.keys import Family, PortSide, SetName
from policyd_compiler.one_host import CannotTell, OneHost
from policyd_compiler.passes.order import PASSES
from policyd_compiler.ports import PortSet

#: A cost that is certainly a smaller part of what is allowed need not be known exactly.
_ROUGHLY = 16
#: Of a claimant: its NetworkPolicies and its ClusterNetworkPolicies by identity, the ports these ask for.
PartKey: TypeAlias = tuple[tuple[int, ...], tuple[int, ...], SubjectPorts | None]
#: What an isolation follows from.
UnitKey: TypeAlias = tuple[Direction, tuple[PartKey, ...]]


@dataclass(frozen=True, slots=True)
class Source:
    """Of what an isolation is resolved: its key, and the policies of which the rules count, part by part.

    `named`: all that the key names, which nobody else may be taken for; `tiers` are the administrator's.
    """

    key: UnitKey
    policies: tuple[tuple[NetworkPolicy, ...], ...]
    named: tuple[NetworkPolicy, ...]
    tiers: tuple[ClusterNetworkPolicy, ...] = ()

    @property
    def direction(self) -> Direction:
        """Whom it is about."""
        return self.key[0]

    def peers(self) -> Iterator[Peer]:
        """The peers of its rules, in the order in which they are resolved."""
        for policy, rule in self._rules():
            yield from ((policy, peer) for peer in rule.peers or () if isinstance(peer, PodPeer))

    def named_ports(self) -> Iterator[tuple[str, Protocol]]:
        """The ports of peers that its rules name (NP-051)."""
        if self.direction == "ingress":
            return
        for _, rule in self._rules():
            yield from ((p.port, p.protocol) for p in rule.ports or () if isinstance(p.port, str))

    def named_by_tiers(self) -> Iterator[tuple[str, Protocol]]:
        """The same of ClusterNetworkPolicies, which mean every protocol (CNP-032)."""
        rules: Iterator[TierRule] = (rule for policy in self.tiers for rule in policy.egress or ())
        names = {p.name for rule in rules for p in rule.ports or () if isinstance(p, PortName)}
        if self.direction == "egress":
            yield from ((name, protocol) for name in sorted(names) for protocol in PROTOCOLS.values())

    def _rules(self) -> Iterator[tuple[NetworkPolicy, PolicyRule]]:
        for policy in (policy for policies in self.policies for policy in policies):
            rules = policy.ingress if self.direction == "ingress" else policy.egress
            yield from ((policy, rule) for rule in rules or ())


@dataclass(frozen=True, slots=True)
class Made:
    """What resolving an isolation says beside it.

    Of each of its rules where it comes from, its groups' selectors, and for each port of peers that it names
    the numbers of which it has rules.
    """

    said: tuple[RuleSource, ...]
    groups: tuple[Selector, ...]
    asked: Mapping[tuple[str, Protocol], frozenset[int]]

    @classmethod
    def of(cls, isolation: Isolation, source: Source, resolver: RuleResolver, tiers: TierPolicies) -> Made:
        """Ask what has just resolved it."""
        rules = (rule for stage in isolation.stages for rule in stage.rules)
        asked = {name: resolver.asked.get(name, frozenset()) for name in source.named_ports()}
        return cls(
            tuple(_source_of(rule, resolver, tiers) for rule in rules),
            tuple(_grouping(group.identity, resolver, tiers) for group in isolation.layout.groups),
            asked | {name: tiers.asked.get(name, frozenset()) for name in source.named_by_tiers()},
        )


def _grouping(identity: str, resolver: RuleResolver, tiers: TierPolicies) -> Selector:
    """The selector of a group. One that both know selects the same."""
    peer = resolver.grouped.get(identity)
    return Selector.of_tier(tiers.grouped[identity]) if peer is None else Selector.of(peer)


def _source_of(rule: Rule, resolver: RuleResolver, tiers: TierPolicies) -> RuleSource:
    said = resolver.said.get(id(rule))
    return RuleSource.of_tier(rule, tiers.said[id(rule)]) if said is None else RuleSource.of(said)


@dataclass(eq=False, slots=True)
class Unit:
    """An isolation with its chains. `place` is a number that no other has had.

    `rules` are those of its chains. `lines` are the notes of its asking chains, None until they are made.
    `passed` is what was lowered. `version` is that of the claims when it was made. `ceiling`: with tiers,
    what its NetworkPolicies cost at most alone; without, that follows from what is in its sets. `come`: the
    hosts that have come since, which may have made it dearer.
    """

    place: int
    source: Source
    isolation: Isolation
    passed: Isolation
    made: Made
    judging: Judging
    rules: Mapping[ChainName, tuple[ast.Rule, ...]]
    host: OneHost
    version: int
    ceiling: int | None = None
    space: str = ""
    cost: int = 0
    lines: tuple[str, ...] | None = None
    peers: tuple[tuple[Peer, int], ...] = ()
    sets: tuple[tuple[SetName, bool], ...] = field(default=())
    growth: int = 0
    come: int = 0

    def __post_init__(self) -> None:
        """What follows from the rest, and is asked often."""
        self.space, self.cost = cost_without_peers(self.isolation)
        if self.ceiling is not None:
            self.cost, self.growth = self.ceiling, growth_at_most(self.isolation)
            return
        self.sets = tuple(self.host.peers())
        # An element of each set, and steps, named by each rule.
        self.growth = len(self.sets) + 2 * (len(self.made.said) ** 2 // STEPS + 2)

    @property
    def has_tiers(self) -> bool:
        """Whether the administrator's policies are part of it."""
        return self.ceiling is not None

    @property
    def narrows(self) -> bool:
        """Whether hosts that its rules name may be sent less than all others."""
        rules = (rule for stage in self.isolation.stages for rule in stage.rules)
        is_egress = self.source.direction == "egress"
        return self.has_tiers and is_egress and any(rule.action is not Action.ACCEPT for rule in rules)

    @property
    def asks_nodes(self) -> bool:
        """Whether it names addresses of nodes."""
        return any(said.nodes for said in self.made.said)

    @property
    def key(self) -> UnitKey:
        """What it follows from."""
        return self.source.key


@dataclass(frozen=True, slots=True)
class Sets:
    """Sets and maps of peers by prefix and identity, and verdicts by what they let pass: all of a ruleset."""

    peers: Mapping[tuple[str, str], SetName]
    verdicts: Mapping[tuple[PortSet, PortSide], Verdict]


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes isolations out of the claims of a `version`, with what they have in common.

    None that costs more than `most`: before it is lowered, as to lower it takes as long as it costs.
    """

    resolver: RuleResolver
    tiers: TierPolicies
    indexes: Mapping[Family, HostIndex]
    version: int
    verdicts: Mapping[tuple[PortSet, PortSide], Verdict]
    most: int
    lists: Lists = field(default_factory=dict)

    def make(
        self,
        place: int,
        source: Source,
        isolation: Isolation,
        endpoints: Sequence[Endpoint],
        objects: Objects,
    ) -> Unit:
        """Lower an isolation by itself; its chains and sets are in `objects`, which are its own.

        Raises CannotTell where sets of ports are so large that they may share chains, in an order that
        follows from how hosts are numbered.
        """
        cost = ceiling_of(isolation, source, endpoints, self.indexes, self.most)
        if cost > self.most:
            raise CannotTell("policies may be over their budget")
        passed = through_passes(isolation)
        judging = judge(passed, endpoints, self.indexes, objects)
        if not judging.settled:
            raise CannotTell("sets of ports may share chains")
        rules = {name: objects.chains[name].rules for name in judging.chains()}
        host = OneHost(isolation, judging, Sets(objects.peers, self.verdicts))
        made = Made.of(isolation, source, self.resolver, self.tiers)
        ceiling = cost if source.tiers else None
        return Unit(place, source, isolation, passed, made, judging, rules, host, self.version, ceiling)


def ceiling_of(
    isolation: Isolation,
    source: Source,
    endpoints: Sequence[Endpoint],
    indexes: Mapping[Family, HostIndex],
    most: int,
) -> int:
    """What its NetworkPolicies cost at most alone; with tiers more exactly, as it is asked often."""
    enough = most // _ROUGHLY if source.tiers else most
    return cost_at_most(isolation, families_of(endpoints), indexes, enough, most)


def through_passes(isolation: Isolation) -> Isolation:
    """An isolation as the compiler lowers it."""
    stages = isolation.stages
    for rewrite in PASSES:
        stages = tuple(map(rewrite.stage, stages))
    return replace(isolation, stages=stages)
