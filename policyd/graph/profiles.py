"""What rules make of a pod, by what they see of it: its namespace, its labels and its named ports.

Pods of one Deployment are alike to all rules, so what was found out of one holds for all of them. To find it
out costs as many selectors as may select pods of the namespace, however many pods and other policies exist.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from policyd.cluster.peers import RuleResolver, Said
from policyd.kube.objects import (
    IPBlock,
    Labels,
    LabelSelector,
    NamedPort,
    Namespace,
    NetworkPolicy,
    Pod,
    PodPeer,
)
from policyd.kube.selectors import matches
from policyd_compiler.ir import Isolation, Rule

#: Profiles and namespaces that are kept.
_MOST_KNOWN = 4096

#: An isolation by number, the numbers of its rules that name a pod, ascending, and for each of its groups
#: whether the pod is in it.
Named: TypeAlias = tuple[int, tuple[int, ...], tuple[bool, ...]]


@dataclass(frozen=True, slots=True)
class Profile:
    """Of pods that are alike: the peers and the rules, by number, that select them; who names them.

    `certain`: all else that depends on such a pod is known.
    """

    peers: tuple[int, ...]
    rules: tuple[int, ...]
    named: tuple[Named, ...]
    certain: bool


@dataclass(frozen=True, slots=True)
class Selector:
    """Pods by label: of one namespace, or of all that a selector matches."""

    namespace: str
    namespaces: LabelSelector | None
    pods: LabelSelector

    @classmethod
    def of(cls, policy: NetworkPolicy, peer: PodPeer) -> Selector:
        """What an entry of a policy's rule selects (NP-036)."""
        return cls("" if peer.namespaces is not None else policy.namespace, peer.namespaces, peer.pods)


@dataclass(slots=True)
class RuleUse:
    """A rule of the IR, and where it stands: isolation and number. `hosts`: how many it names now."""

    rule: Rule
    hosts: int
    exposed: NamedPort | None
    users: list[tuple[int, int]] = field(default_factory=list)

    @property
    def is_alive(self) -> bool:
        """Whether it may match something; what cannot is in no note."""
        peers = self.rule.peers
        return bool(self.rule.ports and (peers.anything or self.hosts or peers.v4 or peers.v6))


@dataclass(slots=True)
class Counts:
    """How much was done: what a change costs, whatever the machine."""

    selectors: int = 0
    elements: int = 0


class Profiles:
    """The selectors of the isolations of one node. `isolations` are numbered by their order."""

    def __init__(
        self,
        isolations: Iterable[Isolation],
        resolver: RuleResolver,
        namespaces: Mapping[str, Namespace],
        counts: Counts,
    ) -> None:
        self._namespaces, self._counts = namespaces, counts
        self._asked = resolver.asked
        self._selectors: dict[Selector, int] = {}
        self._scopes: dict[str, tuple[tuple[int, LabelSelector], ...]] = {}
        self._known: dict[tuple[str, Labels, tuple[NamedPort, ...]], Profile] = {}
        self._peers: dict[int, list[int]] = {}
        self.rules: list[RuleUse] = []
        self._numbers: dict[int, int] = {}  # of rules, by identity
        self._rules: dict[int, list[int]] = {}
        self._of_anybody: list[int] = []  # rules that name whoever exposes a port
        self._by_block: set[NamedPort] = set()  # ports that rules with blocks ask for
        self._groups: list[tuple[int, ...]] = []
        for number, (policy, peer, _) in enumerate(resolver.selecting()):
            self._peers.setdefault(self._number(policy, peer), []).append(number)
        for place, isolation in enumerate(isolations):
            written = (resolver.grouped[group.identity] for group in isolation.layout.groups)
            self._groups.append(tuple(self._number(policy, peer) for policy, peer in written))
            rules = (rule for stage in isolation.stages for rule in stage.rules)
            for at, rule in enumerate(rules):
                if id(rule) not in self._numbers:
                    self._numbers[id(rule)] = self._add(resolver.said[id(rule)])
                self.rules[self._numbers[id(rule)]].users.append((place, at))

    def _number(self, policy: NetworkPolicy, peer: PodPeer) -> int:
        return self._selectors.setdefault(Selector.of(policy, peer), len(self._selectors))

    def _add(self, said: Said) -> int:
        number = len(self.rules)
        self.rules.append(RuleUse(said.rule, said.rule.peers.hosts.bit_count(), said.exposed))
        if any(rule.peers is None for rule in said.written):
            if said.exposed is not None:
                self._of_anybody.append(number)
            return number
        peers = [peer for rule in said.written for peer in rule.peers or ()]
        if said.exposed is not None and any(isinstance(peer, IPBlock) for peer in peers):
            self._by_block.add(said.exposed)
        for selector in {self._number(said.policy, peer) for peer in peers if isinstance(peer, PodPeer)}:
            self._rules.setdefault(selector, []).append(number)
        return number

    def is_alive(self, rule: Rule) -> bool:
        """Whether a rule may match something now; what cannot is in no note."""
        return self.rules[self._numbers[id(rule)]].is_alive

    def of(self, pod: Pod) -> Profile:
        """What rules make of a pod that has an address. Its namespace must be known."""
        ports = tuple(port for port in pod.ports if (port.name, port.protocol) in self._asked)
        key = pod.namespace, pod.labels, ports
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            known = self._known[key] = self._new(*key)
        return known

    def _new(self, namespace: str, labels: Labels, ports: tuple[NamedPort, ...]) -> Profile:
        by_key, scope = dict(labels), self._scope(namespace)
        self._counts.selectors += len(scope)
        hits = {number for number, pods in scope if matches(pods, by_key)}
        exposing = frozenset(ports)
        found = {rule for selector in hits for rule in self._rules.get(selector, ())}
        rules = sorted(
            number
            for number in (*found, *self._of_anybody)
            if (exposed := self.rules[number].exposed) is None or exposed in exposing
        )
        named: dict[int, list[int]] = {}
        for rule in (self.rules[number] for number in rules):
            if rule.rule.ports:
                for place, at in rule.users:
                    named.setdefault(place, []).append(at)
        # A number that no peer had behind a name needs a rule that is not there.
        numbered = all(port.number in self._asked[port.name, port.protocol] for port in ports)
        return Profile(
            tuple(peer for selector in hits for peer in self._peers.get(selector, ())),
            tuple(rules),
            tuple(
                (place, tuple(sorted(at)), tuple(group in hits for group in self._groups[place]))
                for place, at in sorted(named.items())
            ),
            numbered and self._by_block.isdisjoint(exposing),
        )

    def _scope(self, namespace: str) -> tuple[tuple[int, LabelSelector], ...]:
        """The selectors that may select pods of a namespace."""
        known = self._scopes.get(namespace)
        if known is None:
            if len(self._scopes) >= _MOST_KNOWN:
                self._scopes.clear()
            labels = dict(self._namespaces[namespace].labels)
            self._counts.selectors += len(self._selectors)
            known = self._scopes[namespace] = tuple(
                (number, selector.pods)
                for selector, number in self._selectors.items()
                if (
                    selector.namespace == namespace
                    if selector.namespaces is None
                    else matches(selector.namespaces, labels)
                )
            )
        return known
