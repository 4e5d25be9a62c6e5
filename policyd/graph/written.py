"""Of what a rule of the IR was made: who is selected by label, and what else it names hosts by."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self, TypeAlias

from policyd.cluster.peers import Said
from policyd.cluster.tiers import TierSaid
from policyd.kube.objects import (
    IPBlock,
    LabelSelector,
    NamedPort,
    Namespace,
    NetworkPolicy,
    NodePeer,
    PodPeer,
    TierPeer,
)
from policyd.kube.selectors import matches
from policyd_compiler.ir import Action, Rule

#: Who is selected by a peer of a NetworkPolicy's rule.
Peer: TypeAlias = tuple[NetworkPolicy, PodPeer]


@dataclass(frozen=True, slots=True)
class Selector:
    """Pods by label: of one namespace, of those that a selector matches, or, with neither, of all."""

    namespace: str
    namespaces: LabelSelector | None
    pods: LabelSelector

    @classmethod
    def of(cls, peer: Peer) -> Self:
        """What an entry of a NetworkPolicy's rule selects (NP-036)."""
        policy, who = peer
        return cls("" if who.namespaces is not None else policy.namespace, who.namespaces, who.pods)

    @classmethod
    def of_tier(cls, who: PodPeer) -> Self:
        """What an entry of a ClusterNetworkPolicy's rule selects: all is also what is not known (CNP-020)."""
        if who.namespaces is None or not who.namespaces.requirements:
            return cls("", None, who.pods)
        return cls("", who.namespaces, who.pods)

    def may_select(self, name: str, namespace: Namespace | None) -> bool:
        """Whether it may select pods of a namespace, whose labels may not be known (NP-048)."""
        if self.namespaces is None:
            return self.namespace in ("", name)
        return namespace is not None and matches(self.namespaces, dict(namespace.labels))


@dataclass(frozen=True, slots=True)
class RuleSource:
    """A rule of the IR, and what names its hosts.

    `selectors` do, each alone; `anybody`: whoever exposes a port. `ranges`: there are networks or nodes, too,
    and `nodes`: there are nodes. `exposed`: only hosts that have this number behind this name.
    """

    rule: Rule
    selectors: tuple[Selector, ...]
    exposed: NamedPort | None
    anybody: bool
    ranges: bool
    nodes: bool

    @classmethod
    def of(cls, said: Said) -> Self:
        """Of a NetworkPolicy."""
        peers = [peer for rule in said.written for peer in rule.peers or ()]
        selectors = (Selector.of((said.policy, peer)) for peer in peers if isinstance(peer, PodPeer))
        anybody = any(rule.peers is None for rule in said.written)
        return cls(said.rule, tuple(dict.fromkeys(selectors)), said.exposed, anybody, *_beside(peers))

    @classmethod
    def of_tier(cls, rule: Rule, said: TierSaid) -> Self:
        """Of a ClusterNetworkPolicy."""
        if said.written.action == "Pass" and rule.action is Action.DENY:
            # About hosts of several claimants of whom the Pass means some (NP-166), and nobody else.
            return cls(rule, (), None, anybody=False, ranges=False, nodes=False)
        peers = said.written.peers or ()
        selectors = (Selector.of_tier(peer) for peer in peers if isinstance(peer, PodPeer))
        anybody = said.written.peers is None
        return cls(rule, tuple(dict.fromkeys(selectors)), said.exposed, anybody, *_beside(peers))


def _beside(peers: Iterable[TierPeer]) -> tuple[bool, bool]:
    """Whether there are ranges among peers, and whether there are nodes."""
    kinds = [type(peer) for peer in peers]
    return IPBlock in kinds or NodePeer in kinds, NodePeer in kinds
