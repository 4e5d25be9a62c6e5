"""Isolations of this node's pods, each with all that was made of it; resolved and lowered by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from policyd.cluster.peers import RuleResolver, Said, SubjectPorts
from policyd.kube.objects import NetworkPolicy, PodPeer, PolicyRule, Protocol
from policyd_compiler.budget import cost_without_peers, is_affordable
from policyd_compiler.ir import Direction, Endpoint, Isolation
from policyd_compiler.lower.classes import HostIndex
from policyd_compiler.lower.lower import Judging, families_of, judge
from policyd_compiler.lower.objects import Objects
from policyd_compiler.nft.ast import ChainName, Rule, Verdict
from policyd_compiler.nft.keys import Family, PortSide, SetName
from policyd_compiler.one_host import CannotTell, OneHost
from policyd_compiler.passes.order import PASSES
from policyd_compiler.ports import PortSet

#: What an isolation follows from: the policies of each claimant, by identity, and the ports they ask for.
UnitKey: TypeAlias = tuple[Direction, tuple[tuple[tuple[int, ...], SubjectPorts | None], ...]]
#: Who is selected by a peer of a policy's rule.
Peer: TypeAlias = tuple[NetworkPolicy, PodPeer]


@dataclass(frozen=True, slots=True)
class Source:
    """Of what an isolation is resolved: its key, and the policies of which the rules count, part by part.

    `named`: all that the key names, which nobody else may be taken for.
    """

    key: UnitKey
    policies: tuple[tuple[NetworkPolicy, ...], ...]
    named: tuple[NetworkPolicy, ...]

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
        for _, rule in self._rules() if self.direction == "egress" else ():
            yield from ((p.port, p.protocol) for p in rule.ports or () if isinstance(p.port, str))

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

    said: tuple[Said, ...]
    groups: tuple[Peer, ...]
    asked: Mapping[tuple[str, Protocol], frozenset[int]]

    @classmethod
    def of(cls, isolation: Isolation, source: Source, resolver: RuleResolver) -> Made:
        """Ask the resolver that has just resolved it."""
        rules = (rule for stage in isolation.stages for rule in stage.rules)
        return cls(
            tuple(resolver.said[id(rule)] for rule in rules),
            tuple(resolver.grouped[group.identity] for group in isolation.layout.groups),
            {name: resolver.asked.get(name, frozenset()) for name in source.named_ports()},
        )


@dataclass(eq=False, slots=True)
class Unit:
    """An isolation with its chains. `place` is a number that no other has had.

    `rules` are those of its chains. `lines` are the notes of its asking chains, None until they are made.
    `passed` is what was lowered. `version` is that of the claims when it was made.
    """

    place: int
    source: Source
    isolation: Isolation
    passed: Isolation
    made: Made
    judging: Judging
    rules: Mapping[ChainName, tuple[Rule, ...]]
    host: OneHost
    version: int
    space: str = ""
    cost: int = 0
    lines: tuple[str, ...] | None = None
    peers: tuple[tuple[Peer, int], ...] = ()
    sets: tuple[tuple[SetName, bool], ...] = field(default=())

    def __post_init__(self) -> None:
        """What follows from the rest, and is asked often."""
        self.space, self.cost = cost_without_peers(self.isolation)
        self.sets = tuple(self.host.peers())

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
    indexes: Mapping[Family, HostIndex]
    version: int
    verdicts: Mapping[tuple[PortSet, PortSide], Verdict]
    most: int

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
        if not is_affordable(isolation, families_of(endpoints), self.indexes, self.most):
            raise CannotTell("policies may be over their budget")
        passed = through_passes(isolation)
        judging = judge(passed, endpoints, self.indexes, objects)
        if not judging.settled:
            raise CannotTell("sets of ports may share chains")
        rules = {name: objects.chains[name].rules for name in judging.chains()}
        host = OneHost(isolation, judging, Sets(objects.peers, self.verdicts))
        made = Made.of(isolation, source, self.resolver)
        return Unit(place, source, isolation, passed, made, judging, rules, host, self.version)


def through_passes(isolation: Isolation) -> Isolation:
    """An isolation as the compiler lowers it."""
    stages = isolation.stages
    for rewrite in PASSES:
        stages = tuple(map(rewrite.stage, stages))
    return replace(isolation, stages=stages)
