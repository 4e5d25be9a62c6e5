"""What policies allow the pods of one node in one family: for each address the peers, and the ports of each.

The plain reading of docs/semantics.md, in masks over the addresses and ports that are told apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, reduce
from typing import NamedTuple

from policyd.kube.objects import (
    ClusterNetworkPolicy,
    NetworkPolicy,
    Pod,
    PolicyPort,
    PolicyRule,
    PortName,
    Protocol,
    TierRule,
)
from policyd.proof.cluster import TIERS, Cluster, Direction, Governing, policy_key
from policyd.proof.peers import Peers, Whom
from policyd.proof.points import Addresses
from policyd.proof.space import Asked
from policyd.proof.stages import Action, Allowed, Rule, Stage, both, decide, decided_by
from policyd_compiler.nft.keys import Family

_NUMBERS: Mapping[Protocol, int] = {"TCP": 6, "UDP": 17, "SCTP": 132}
_ACTIONS: Mapping[str, Action] = {"Accept": "accept", "Deny": "deny", "Pass": "pass"}


class Place(NamedTuple):
    """Where a rule is written: the policy, `ingress[0]`, and the file and line if there is one."""

    policy: str
    rule: str
    file: str
    line: int


@dataclass(frozen=True, eq=False)
class Isolation:
    """What governs a direction of an address: by claimant its stages, and what is allowed in the end."""

    direction: Direction
    policies: tuple[str, ...]
    claimants: tuple[tuple[Stage[Place], ...], ...]
    allowed: Allowed

    def allows(self, peer: int, port: int) -> bool:
        """Whether a peer may use a port, by their bits."""
        return bool(self.ports_of(peer) >> port & 1)

    def ports_of(self, peer: int) -> int:
        """The ports that a peer may use, by its bit."""
        return next((ports for peers, ports in self.allowed if peers >> peer & 1), 0)

    def ports_throughout(self, peers: int, everything: int) -> int:
        """The ports that all of these peers may use."""
        found, rest = everything, peers
        for some, ports in self.allowed:
            if some & rest:
                found, rest = found & ports, rest & ~some
        return 0 if rest else found

    def is_open(self, everybody: int, everything: int) -> bool:
        """Whether it closes nothing to anybody."""
        return self.ports_throughout(everybody, everything) == everything

    @property
    def only_accepts(self) -> bool:
        """Whether no rule denies or passes on."""
        return all(
            rule.action == "accept" for stages in self.claimants for stage in stages for rule in stage.rules
        )

    def because(self, peer: int, port: int) -> Place | None:
        """Where the rule is written that decides; None if none matches. Of several claimants who denies."""
        verdicts = [decided_by(stages, peer, port) for stages in self.claimants]
        denied = [rule for allowed, rule in verdicts if not allowed]
        found = denied or [rule for _, rule in verdicts]
        return next((rule.where for rule in found if rule is not None), None)


@dataclass(frozen=True)
class Meaning:
    """What policies mean for one family. Everything is worked out when it is asked for, once.

    `among`: how peers are found.
    """

    cluster: Cluster
    family: Family
    line: Addresses
    asked: Asked
    among: type[Peers] = Peers
    _isolations: dict[object, Isolation] = field(default_factory=dict)
    _whom: dict[tuple[str, int], Whom] = field(default_factory=dict)

    @cached_property
    def peers(self) -> Peers:
        """Whom rules mean."""
        return self.among(self.cluster, self.family, self.line)

    @property
    def pods(self) -> int:
        """The addresses of all pods."""
        return self.peers.pods

    def isolation(self, direction: Direction, address: int) -> Isolation | None:
        """What governs an address of a pod of the node; None where no policy says anything of a claimant."""
        return self.isolation_of(direction, self.cluster.claims[self.family][address])

    def isolation_of(self, direction: Direction, claimants: Iterable[Pod]) -> Isolation | None:
        """What governs all of these, which claim one address; None where no policy says anything of them."""
        subjects = [
            (pod, governing) for pod in claimants if (governing := self.cluster.governing(pod, direction))
        ]
        if not subjects:
            return None
        by_name = direction == "ingress"
        key = (direction, *((tuple(map(id, of)), pod.ports if by_name else ()) for pod, of in subjects))
        found = self._isolations.get(key)
        if found is None:
            found = self._isolations[key] = self._made(direction, subjects)
        return found

    def _made(self, direction: Direction, subjects: list[tuple[Pod, Governing]]) -> Isolation:
        claimants = tuple(tuple(self._stages(direction, pod, governing)) for pod, governing in subjects)
        decided = (decide(stages, self.line.full, self.asked.full) for stages in claimants)
        names = {policy_key(policy) for _, governing in subjects for policy in governing}
        return Isolation(direction, tuple(sorted(names)), claimants, reduce(both, decided))

    def _stages(self, direction: Direction, pod: Pod, governing: Governing) -> Iterator[Stage[Place]]:
        """What a pod is judged by, in this order: what a tier leaves open goes on to the next.

        NetworkPolicies are the end of it for whom they isolate (NP-023, L11).
        """
        for tier in TIERS:
            if tier is None:
                isolating = [policy for policy in governing if isinstance(policy, NetworkPolicy)]
                if isolating:
                    yield Stage(tuple(self._accepted(direction, pod, isolating)), "deny")
                continue
            of = [p for p in governing if isinstance(p, ClusterNetworkPolicy) and p.tier == tier]
            yield Stage(tuple(self._ordered(direction, pod, of)), "pass")

    # --- rules -----------------------------------------------------------------------------------------

    def _accepted(
        self, direction: Direction, pod: Pod, policies: Iterable[NetworkPolicy]
    ) -> Iterator[Rule[Place]]:
        """What the NetworkPolicies that select a pod accept."""
        for policy in policies:
            for number, rule in enumerate(self.cluster.rules(policy, direction) or ()):
                whom = self._of(rule, policy.namespace)
                for among, ports in self._ports(rule, direction, pod):
                    place = _place(policy, direction, number, rule)
                    yield Rule("accept", whom.only(among).certain, ports, place)

    def _ordered(
        self, direction: Direction, pod: Pod, policies: Iterable[ClusterNetworkPolicy]
    ) -> Iterator[Rule[Place]]:
        """What the ClusterNetworkPolicies of a tier say of a pod, in their order.

        Where claims to a peer's address are disputed, a Deny means whom it may mean, and a Pass that means
        some claimants and not others denies.
        """
        for policy in policies:
            for number, rule in enumerate(self.cluster.tier_rules(policy, direction) or ()):
                whom, place = self._of(rule, None), _place(policy, direction, number, rule)
                action = _ACTIONS[rule.action]
                for among, ports in self._ports(rule, direction, pod):
                    certain, possible = whom.only(among)
                    yield Rule(action, possible if action == "deny" else certain, ports, place)
                    if action == "pass" and possible & ~certain:
                        yield Rule("deny", possible & ~certain, ports, place)

    def _of(self, rule: PolicyRule | TierRule, namespace: str | None) -> Whom:
        key = (namespace or "", id(rule))
        found = self._whom.get(key)
        if found is None:
            found = self._whom[key] = self.peers.of(rule.peers, namespace)
        return found

    def _ports(
        self, rule: PolicyRule | TierRule, direction: Direction, pod: Pod
    ) -> Iterator[tuple[Whom, int]]:
        """The ports of a rule, and with whom: names of an ingress rule are the pod's own (NP-050), those of
        an egress rule each peer's (NP-051)."""
        everybody = Whom(self.line.full, self.line.full)
        if rule.ports is None:
            yield everybody, self.asked.full
            return
        numbers = 0
        for port in rule.ports:
            names = tuple(_names(port))
            if isinstance(port, PolicyPort) and not names:
                numbers |= self._number(port)
            elif direction == "ingress":
                for named in pod.ports:
                    if (named.name, named.protocol) in names:
                        numbers |= self._one(named.protocol, named.number, named.number)
        yield everybody, numbers
        if direction == "egress":
            for name, protocol in (each for port in rule.ports for each in _names(port)):
                for number, exposing in self.peers.exposing(name, protocol).items():
                    yield exposing, self._one(protocol, number, number)

    def _number(self, port: PolicyPort) -> int:
        if isinstance(port.port, int):
            return self._one(port.protocol, port.port, port.end_port or port.port)
        return self.asked.of(_NUMBERS[port.protocol])

    def _one(self, protocol: Protocol, low: int, high: int) -> int:
        return self.asked.of(_NUMBERS[protocol], self.asked.ports.mask(((low, high),)))


def _names(port: PolicyPort | PortName) -> Iterator[tuple[str, Protocol]]:
    """The named ports that an entry asks for; of a tier's in every protocol (CNP-032)."""
    match port:
        case PolicyPort(protocol, str(name)):
            yield name, protocol
        case PortName(name):
            yield from ((name, protocol) for protocol in _NUMBERS)
        case _:
            pass


def _place(
    policy: NetworkPolicy | ClusterNetworkPolicy,
    direction: Direction,
    number: int,
    rule: PolicyRule | TierRule,
) -> Place:
    at = (rule.source.file, rule.source.line) if rule.source else ("", 0)
    return Place(policy_key(policy), f"{direction}[{number}]", *at)
