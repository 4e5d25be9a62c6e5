"""Who governs each pod of all nodes, by the code that says so for one node. Pure; for questions."""

from __future__ import annotations

from dataclasses import dataclass

from policyd.cluster.index import PodIndex, bits_of
from policyd.cluster.isolations import Isolations, Subject
from policyd.cluster.ownership import Claims
from policyd.cluster.peers import RuleResolver
from policyd.cluster.tiers import TierPolicies
from policyd.kube.objects import ClusterNetworkPolicy, IPBlock, NamedPort, NetworkPolicy, Node
from policyd_compiler.ir import Isolation, Rule


@dataclass(frozen=True, slots=True)
class Governed:
    """By host of the claims, what governs it in each direction; None where nothing does.

    `resolver` and `tiers` know of each rule what it was made of.
    """

    ingress: tuple[Isolation | None, ...]
    egress: tuple[Isolation | None, ...]
    resolver: RuleResolver
    tiers: TierPolicies

    def blocks_of(self, rule: Rule) -> tuple[IPBlock, ...]:
        """The blocks of which a rule was made."""
        said, tier = self.resolver.said.get(id(rule)), self.tiers.said.get(id(rule))
        peers = [peer for written in said.written for peer in written.peers or ()] if said else []
        of_tier = tier.written.peers or () if tier else ()
        return tuple(peer for peer in (*peers, *of_tier) if isinstance(peer, IPBlock))

    def exposed(self, rule: Rule) -> NamedPort | None:
        """The named port that the peers of a rule must have; None if it is about any of them."""
        said, tier = self.resolver.said.get(id(rule)), self.tiers.said.get(id(rule))
        return said.exposed if said else tier.exposed if tier else None


@dataclass(frozen=True, slots=True)
class Policies:
    """The policies of a cluster, NetworkPolicies in the order in which they count, and its nodes."""

    network: tuple[NetworkPolicy, ...]
    cluster: tuple[ClusterNetworkPolicy, ...] = ()
    nodes: tuple[Node, ...] = ()


def govern(policies: Policies, claims: Claims, index: PodIndex) -> Governed:
    """What governs every host. `index` is of the pods of `claims`."""
    ordered = list(policies.network)
    selecting: list[list[int]] = [[] for _ in claims.pods]
    for number, policy in enumerate(ordered):
        for bit in bits_of(index.in_namespace(policy.namespace) & index.select(policy.pods)):
            selecting[bit].append(number)
    resolver = RuleResolver(index, claims)
    tiers = TierPolicies(policies.cluster, index, claims, policies.nodes)
    in_tiers, _ = tiers.select((1 << len(claims.pods)) - 1)
    isolations = Isolations(ordered, resolver, tiers, frozenset(), laid_out=False)
    subjects = [
        [
            Subject(claims.pods[claim], tuple(selecting[claim]), in_tiers.get(claim, ()))
            for claim in claims.to(host)
        ]
        for host in range(len(claims.hosts))
    ]
    return Governed(
        tuple(isolations.of("ingress", each) for each in subjects),
        tuple(isolations.of("egress", each) for each in subjects),
        resolver,
        tiers,
    )
