"""What maps say of a node's pods, and which policies govern these, before a change and after it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeAlias

from policyd.kube.objects import NamedPort
from policyd.proof.about import About
from policyd.proof.cluster import Cluster, policy_key
from policyd.proof.differing import Rulesets
from policyd.proof.hooks import INGRESS
from policyd.proof.mapped import KINDS, likely
from policyd.proof.near import Near
from policyd.proof.space import ADDRESSES
from policyd.proof.walk import is_last
from policyd_compiler.nft.ast import Drop, Goto, Jump, Reject
from policyd_compiler.nft.expressions import Field, Word
from policyd_compiler.nft.keys import Family

#: By map, keys of it.
Keys: TypeAlias = Mapping[str, frozenset[int]]
_FIELDS = {
    side: frozenset(f for f, (_, of) in ADDRESSES.items() if of == side) for _, side in ADDRESSES.values()
}


class Pair(NamedTuple):
    """What a map says of an address, and what policies do: if both are as before, it is proved as before.

    `chain` is empty for a drop. `governed`: of each who claims the address his policies, and the ports that
    they may name. `own`: the address, if the chain asks for it.
    """

    kind: str
    last: bool
    chain: str
    governed: tuple[tuple[tuple[str, ...], tuple[NamedPort, ...]], ...]
    own: int | None

    @property
    def policies(self) -> frozenset[str]:
        """The policies that govern the address."""
        return frozenset(policy for policies, _ in self.governed for policy in policies)


@dataclass(frozen=True)
class Said:
    """What the maps of a family say in both rulesets; `clusters`, `near`: before and now."""

    family: Family
    rulesets: Rulesets
    clusters: tuple[Cluster, Cluster]
    near: tuple[Near, Near]
    unlike_policies: frozenset[str]

    def further(self) -> Keys:
        """What was not proved before of whom: the pair is new, or its chain or a policy differs."""
        proved = set(self._were.values())
        return _by_map(
            place
            for place, pair in self._are.items()
            if pair not in proved
            or (pair.chain and not self.rulesets.is_same(pair.chain))
            or not self.unlike_policies.isdisjoint(pair.policies)
        )

    def concerned(self, about: About, *, pods_differ: bool) -> Keys:
        """Of whom it may say something else of peers at some addresses.

        `pods_differ`: some of these were a pod's before and are none's now, or the reverse.
        """
        return _by_map(
            place
            for place, pair in self._are.items()
            if (pair.chain and self.rulesets.is_touched(pair.chain))
            or any(self._may_say(about, policy, pair.kind) for policy in pair.policies)
            or (pods_differ and pair.kind == INGRESS and not self._refuses_forged(pair.chain))
        )

    def _may_say(self, about: About, key: str, kind: str) -> bool:
        state = self.clusters[1].state
        policy = state.policies.get(key) or state.cluster_policies.get(key)
        return policy is None or about.may_say(policy, KINDS[kind][2])

    def _refuses_forged(self, chain: str) -> bool:
        """Whether the first thing a chain does is to drop what has an address of the node as its source.

        Else it may depend on whether the sender's address is a pod's (NP-145).
        """
        if not chain:
            return True
        first = self.rulesets.chains[chain].rules[:1]
        return any(
            isinstance(rule.action, Drop | Reject)
            and not rule.statements
            and [(m.field, m.right, m.negated) for m in rule.matches]
            == [(Field.FIB_SADDR_TYPE, Word("local"), False)]
            for rule in first
        )

    @cached_property
    def _were(self) -> Mapping[tuple[str, int], Pair]:
        return dict(self._pairs(self.near[0], self.clusters[0]))

    @cached_property
    def _are(self) -> Mapping[tuple[str, int], Pair]:
        return dict(self._pairs(self.near[1], self.clusters[1]))

    def _pairs(self, near: Near, cluster: Cluster) -> Iterator[tuple[tuple[str, int], Pair]]:
        local = frozenset(cluster.local[self.family])
        for part, side in near.asked_of(self.family):
            kind, last = likely(part, side)[0], is_last(part)
            for key, verdict in part.elements:
                if isinstance(key, int) and isinstance(verdict, Jump | Goto | Drop):
                    chain = "" if isinstance(verdict, Drop) else str(verdict.chain)
                    governed = tuple(self._governed(cluster, kind, key)) if key in local else ()
                    own = key if chain and self.rulesets.looks_at(chain, _FIELDS[side]) else None
                    yield (str(part.name), key), Pair(kind, last, chain, governed, own)

    def _governed(
        self, cluster: Cluster, kind: str, key: int
    ) -> Iterator[tuple[tuple[str, ...], tuple[NamedPort, ...]]]:
        direction = KINDS[kind][2]
        for pod in cluster.claims[self.family][key]:
            if policies := cluster.governing(pod, direction):
                # Only ingress rules name ports of the pod that they are about.
                yield tuple(map(policy_key, policies)), pod.ports if direction == "ingress" else ()


def _by_map(places: Iterator[tuple[str, int]]) -> Keys:
    found: dict[str, set[int]] = {}
    for name, key in places:
        found.setdefault(name, set()).add(key)
    return {name: frozenset(keys) for name, keys in found.items()}
