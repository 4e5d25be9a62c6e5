"""Who governs each pod of all nodes, by the code that says so for one node. Pure; for questions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from policyd.cluster.index import PodIndex, bits_of
from policyd.cluster.ownership import Claims
from policyd.cluster.peers import RuleResolver
from policyd.cluster.resolve import Isolations
from policyd.kube.objects import NetworkPolicy
from policyd_compiler.ir import Isolation


@dataclass(frozen=True, slots=True)
class Governed:
    """By host of the claims, what governs it in each direction; None where nothing does.

    `resolver` knows of each rule what it was made of.
    """

    ingress: tuple[Isolation | None, ...]
    egress: tuple[Isolation | None, ...]
    resolver: RuleResolver


def govern(policies: Iterable[NetworkPolicy], claims: Claims, index: PodIndex) -> Governed:
    """What governs every host. `index` is of the pods of `claims`; policies count in the order given."""
    ordered = list(policies)
    selecting: list[list[int]] = [[] for _ in claims.pods]
    for number, policy in enumerate(ordered):
        for bit in bits_of(index.in_namespace(policy.namespace) & index.select(policy.pods)):
            selecting[bit].append(number)
    resolver = RuleResolver(index, claims)
    isolations = Isolations(ordered, resolver, frozenset())
    subjects = [
        [(claims.pods[claim], tuple(selecting[claim])) for claim in claims.to(host)]
        for host in range(len(claims.hosts))
    ]
    return Governed(
        tuple(isolations.of("ingress", each) for each in subjects),
        tuple(isolations.of("egress", each) for each in subjects),
        resolver,
    )
