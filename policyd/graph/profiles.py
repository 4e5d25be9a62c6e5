"""What rules make of a pod, by what they see of it: its namespace, its labels and its named ports.

Pods of one Deployment are alike to all rules, so what was found out of one holds for all of them. To find it
out costs as many selectors as may select pods of the namespace, however many pods and other policies exist.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from policyd.cluster.index import PodIndex
from policyd.graph.units import Unit
from policyd.graph.written import Peer, RuleSource, Selector
from policyd.kube.objects import Labels, LabelSelector, NamedPort, Namespace, Pod, Protocol
from policyd.kube.selectors import matches
from policyd_compiler.ir import Rule

#: Profiles and namespaces that are kept.
_MOST_KNOWN = 4096

#: An isolation by its place, the numbers of its rules that name a host, ascending, and for each of its groups
#: whether the host is in it.
Named: TypeAlias = tuple[int, tuple[int, ...], tuple[bool, ...]]


@dataclass(frozen=True, slots=True)
class Profile:
    """Of hosts that are alike: the selectors and the rules, by number, that select them; who names them.

    `unsure`: the isolations, by place, of which more depends on such a host than who is named.
    """

    selectors: frozenset[int]
    ports: frozenset[NamedPort]
    rules: tuple[int, ...]
    named: tuple[Named, ...]
    unsure: frozenset[int]


@dataclass(slots=True)
class RuleUse:
    """A rule of the IR, and where it stands: isolation and number. `hosts`: how many it names now."""

    rule: Rule
    hosts: int
    exposed: NamedPort | None
    selectors: frozenset[int] = frozenset()
    users: list[tuple[int, int]] = field(default_factory=list)

    @property
    def is_alive(self) -> bool:
        """Whether it may match something; what cannot is in no note."""
        peers = self.rule.peers
        return bool(self.rule.ports and (peers.anything or self.hosts or peers.v4 or peers.v6))


@dataclass(slots=True)
class Counts:
    """How much was done: what a change costs, whatever the machine.

    `units`: isolations that were resolved and lowered. `endpoints`: pods of this node that were asked for
    their isolations.
    """

    selectors: int = 0
    elements: int = 0
    units: int = 0
    endpoints: int = 0


class Profiles:
    """The selectors of the isolations of one node, which come and go."""

    def __init__(self, namespace: Callable[[str], Namespace | None], index: PodIndex, counts: Counts) -> None:
        self._namespace, self._index, self._counts = namespace, index, counts
        self._numbers: dict[Selector, int] = {}
        self._selectors: dict[int, Selector] = {}
        #: How many claims each selector selects.
        self.selecting: dict[int, int] = {}
        self._uses: dict[int, int] = {}
        self._next = 0
        self.rules: dict[int, RuleUse] = {}
        self._of_rule: dict[int, int] = {}  # of rules, by identity
        self._rules: dict[int, set[int]] = {}  # by selector
        self._of_anybody: set[int] = set()  # rules that name whoever exposes a port
        self._by_block: dict[NamedPort, set[int]] = {}  # isolations of which rules with blocks ask for a port
        self._asked: dict[tuple[str, Protocol], dict[int, frozenset[int]]] = {}
        self._groups: dict[int, tuple[int, ...]] = {}
        self.forget()

    def add(self, unit: Unit) -> None:
        """An isolation comes. `unit.peers` are given their selectors' numbers."""
        unit.peers = tuple((peer, self._use(Selector.of(peer))) for peer in _by_identity(unit).values())
        self._groups[unit.place] = tuple(map(self._use, unit.made.groups))
        for name, numbers in unit.made.asked.items():
            self._asked.setdefault(name, {})[unit.place] = numbers
        for at, said in enumerate(unit.made.said):
            number = self._of_rule.get(id(said.rule))
            if number is None:
                number = self._add(said)
            self.rules[number].users.append((unit.place, at))
            if said.exposed is not None and said.ranges:
                self._by_block.setdefault(said.exposed, set()).add(unit.place)
        self.forget()

    def remove(self, unit: Unit) -> None:
        """An isolation goes."""
        for number in (*self._groups.pop(unit.place), *(number for _, number in unit.peers)):
            self._release(number)
        for name in unit.made.asked:
            self._asked[name].pop(unit.place, None)
        for at, said in enumerate(unit.made.said):
            number = self._of_rule[id(said.rule)]
            self.rules[number].users.remove((unit.place, at))
            if not self.rules[number].users:
                self._remove(number)
            if said.exposed is not None:
                self._by_block.get(said.exposed, set()).discard(unit.place)
        self.forget()

    def rename(
        self, name: str, before: Namespace | None, after: Namespace | None
    ) -> tuple[set[int], set[int]]:
        """A namespace has other labels: the selectors that select its pods now and did not, or the other way
        round; and the isolations of which rules have these."""
        self.forget()
        self._counts.selectors += len(self._selectors)
        flipped = {
            number
            for number, selector in self._selectors.items()
            if selector.namespaces is not None
            and selector.may_select(name, before) != selector.may_select(name, after)
        }
        rules = (rule for number in flipped for rule in self._rules.get(number, ()))
        return flipped, {place for rule in rules for place, _ in self.rules[rule].users}

    def recount(self, numbers: Iterable[int]) -> None:
        """Selectors select others, nobody knows whom."""
        for number in numbers:
            self.selecting[number] = self._count(self._selectors[number])

    def named(self, unit: Unit) -> tuple[int, int]:
        """How many rules an isolation has, and how many hosts these name now."""
        rules = [self.rules[self._of_rule[id(said.rule)]] for said in unit.made.said]
        return len(rules), sum(rule.hosts for rule in rules)

    def users(self, numbers: Iterable[int]) -> set[int]:
        """The isolations, by place, that have these rules, as far as there are any."""
        found = (self.rules[number] for number in numbers if number in self.rules)
        return {place for rule in found for place, _ in rule.users}

    def is_alive(self, rule: Rule) -> bool:
        """Whether a rule may match something now; what cannot is in no note."""
        return self.rules[self._of_rule[id(rule)]].is_alive

    def of(self, pods: tuple[Pod, ...]) -> tuple[Profile, ...]:
        """What rules make of each of the pods that claim a host, and at last what they make of the host."""
        each = tuple(map(self._of_pod, pods))
        if len(each) == 1:
            return each * 2
        # An entry names a host only where it selects all who claim it (NP-166).
        selectors = frozenset.intersection(*(profile.selectors for profile in each))
        ports = frozenset.intersection(*(profile.ports for profile in each))
        unsure = frozenset.union(*(profile.unsure for profile in each))
        return (*each, self._profile(selectors, ports, unsure))

    def _of_pod(self, pod: Pod) -> Profile:
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
        hits = frozenset(number for number, pods in scope if matches(pods, by_key))
        unsure = {place for port in ports for place in self._by_block.get(port, ())}
        for port in ports:
            # A number that no peer had behind a name needs a rule that is not there.
            asking = self._asked[port.name, port.protocol].items()
            unsure.update(place for place, numbers in asking if port.number not in numbers)
        return self._profile(hits, frozenset(ports), frozenset(unsure))

    def _profile(
        self, hits: frozenset[int], exposing: frozenset[NamedPort], unsure: frozenset[int]
    ) -> Profile:
        found = {rule for selector in hits for rule in self._rules.get(selector, ())} | self._of_anybody
        rules = [
            number
            for number in sorted(found)
            if (exposed := self.rules[number].exposed) is None or exposed in exposing
        ]
        named: dict[int, list[int]] = {}
        for rule in (self.rules[number] for number in rules):
            if rule.rule.ports:
                for place, at in rule.users:
                    named.setdefault(place, []).append(at)
        places = (
            (place, tuple(sorted(at)), tuple(group in hits for group in self._groups[place]))
            for place, at in sorted(named.items())
        )
        return Profile(hits, exposing, tuple(rules), tuple(places), unsure)

    def _scope(self, namespace: str) -> tuple[tuple[int, LabelSelector], ...]:
        """The selectors that may select pods of a namespace."""
        known = self._scopes.get(namespace)
        if known is None:
            if len(self._scopes) >= _MOST_KNOWN:
                self._scopes.clear()
            self._counts.selectors += len(self._selectors)
            there = self._namespace(namespace)
            known = self._scopes[namespace] = tuple(
                (number, selector.pods)
                for number, selector in self._selectors.items()
                if selector.may_select(namespace, there)
            )
        return known

    def forget(self) -> None:
        """What was found out of pods holds no more."""
        self._scopes: dict[str, tuple[tuple[int, LabelSelector], ...]] = {}
        self._known: dict[tuple[str, Labels, tuple[NamedPort, ...]], Profile] = {}

    def _use(self, selector: Selector) -> int:
        number = self._numbers.get(selector)
        if number is None:
            number, self._next = self._next, self._next + 1
            self._numbers[selector], self._selectors[number] = number, selector
            self.selecting[number] = self._count(selector)
            self._uses[number] = 0
        self._uses[number] += 1
        return number

    def _release(self, number: int) -> None:
        self._uses[number] -= 1
        if not self._uses[number]:
            del self._numbers[self._selectors.pop(number)], self.selecting[number], self._uses[number]

    def _count(self, selector: Selector) -> int:
        pods = self._index.select(selector.pods)
        if selector.namespaces is not None:
            pods &= self._index.in_namespaces(selector.namespaces)
        elif selector.namespace:
            pods &= self._index.in_namespace(selector.namespace)
        return pods.bit_count()

    def _add(self, said: RuleSource) -> int:
        number, self._next = self._next, self._next + 1
        use = RuleUse(said.rule, said.rule.peers.hosts.bit_count(), said.exposed)
        self.rules[number] = use
        self._of_rule[id(said.rule)] = number
        if said.anybody:
            if said.exposed is not None:
                self._of_anybody.add(number)
            return number
        use.selectors = frozenset(map(self._use, said.selectors))
        for selector in use.selectors:
            self._rules.setdefault(selector, set()).add(number)
        return number

    def _remove(self, number: int) -> None:
        use = self.rules.pop(number)
        del self._of_rule[id(use.rule)]
        self._of_anybody.discard(number)
        for selector in use.selectors:
            self._rules[selector].discard(number)
            self._release(selector)


def _by_identity(unit: Unit) -> dict[tuple[int, int], Peer]:
    """The peers of an isolation, each once."""
    return {(id(policy), id(peer)): (policy, peer) for policy, peer in unit.source.peers()}
