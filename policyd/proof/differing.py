"""How two clusters, and two rulesets, differ: found by looking at both, whatever is said to have changed.

What differs of single addresses is named by these addresses; of all else the chains and policies are.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import compress
from operator import attrgetter, is_not
from typing import TypeVar

from policyd.cluster.state import ClusterState
from policyd.kube.objects import KubeObject, Pod
from policyd.proof.cluster import FAMILIES
from policyd.proof.space import Unprovable
from policyd_compiler.nft.ast import Chain, Goto, Jump, Rule, Set, Table, Verdict, VerdictMap, Vmap
from policyd_compiler.nft.expressions import Field, InSet
from policyd_compiler.nft.keys import KEY, Family, Key, KeyType

T = TypeVar("T", bound=KubeObject)
_OF_KEY: Mapping[KeyType, Family] = {KEY[family]: family for family in FAMILIES}


def unlike(before: Mapping[str, T], now: Mapping[str, T]) -> Iterator[tuple[str, T | None, T | None]]:
    """The objects that are in one only, or not the same in both, by key."""
    if before is now:
        return
    # Nearly all are the same object: they are passed over without a line of Python for each.
    others = compress(now, map(is_not, now.values(), map(before.get, now)))
    for key in others:
        if before.get(key) != now[key]:
            yield key, before.get(key), now[key]
    for key in before.keys() - now.keys():
        yield key, before[key], None


def having(objects: Mapping[str, T], attribute: str, among: Container[object]) -> Iterator[str]:
    """The keys of the objects of which an attribute is among some values; no line of Python for each."""
    return compress(objects, map(among.__contains__, map(attrgetter(attribute), objects.values())))


def unlike_addresses(before: ClusterState, now: ClusterState) -> dict[Family, set[int]]:
    """The addresses of which it may not be said the same: whose pod, or its namespace, differs."""
    found: dict[Family, set[int]] = {4: set(), 6: set()}
    pods: list[Pod | None] = []
    for _, was, is_ in unlike(before.pods, now.pods):
        pods += (was, is_)
    if others := {name for name, _, _ in unlike(before.namespaces, now.namespaces)}:
        for state in (before, now):
            pods += (pod for pod in state.pods.values() if pod.namespace in others)
    for pod in pods:
        for family, address in addresses_of(pod):
            found[family].add(address)
    return found


def addresses_of(pod: Pod | None) -> Iterator[tuple[Family, int]]:
    """The addresses that a pod says it has."""
    if pod is not None and pod.v4 is not None:
        yield 4, pod.v4
    if pod is not None and pod.v6 is not None:
        yield 6, pod.v6


def named(table: Table) -> Mapping[str, Chain]:
    """The chains by name. Raises Unprovable where a name stands twice."""
    found = {str(chain.name): chain for chain in table.chains}
    parts = {part.name for part in table.parts}
    if len(found) != len(table.chains) or len(parts) != len(table.parts):
        raise Unprovable("two chains or sets have one name")
    return found


def led_to(rule: Rule, maps: Mapping[str, VerdictMap]) -> Iterator[str]:
    """The chains that a rule leads to. Raises Unprovable."""
    if isinstance(rule.action, Jump | Goto):
        yield str(rule.action.chain)
    elif isinstance(rule.action, Vmap):
        if rule.action.map not in maps:
            raise Unprovable(f"there is no map {rule.action.map}")
        for _, verdict in maps[rule.action.map].elements:
            if isinstance(verdict, Jump | Goto):
                yield str(verdict.chain)


def asked_by(rule: Rule) -> Iterator[str]:
    """The sets and maps that a rule asks."""
    for match in rule.matches:
        if isinstance(match.right, InSet):
            yield str(match.right.set)
    if isinstance(rule.action, Vmap):
        yield str(rule.action.map)


@dataclass
class Rulesets:
    """Two rulesets. Raises Unprovable where chains lead in a circle, or to what is not there."""

    before: Table
    now: Table
    #: What differs in sets and maps of single addresses, and the names of those.
    addresses: dict[Family, set[int]] = field(default_factory=lambda: {4: set(), 6: set()})
    _touched: set[str] = field(default_factory=set)
    _chains: dict[str, bool | None] = field(default_factory=dict)
    _led_to: dict[str, dict[str, Chain]] = field(default_factory=dict)
    _looks: dict[tuple[str, frozenset[Field]], bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._were, self.chains = named(self.before), named(self.now)
        self.maps = {str(part.name): part for part in self.now.maps}
        were = {str(part.name): part for part in self.before.parts}
        self._parts = {
            str(part.name): self._is_same_part(were.get(str(part.name)), part) for part in self.now.parts
        }

    def is_same(self, name: str) -> bool:
        """Whether a chain, and all that it leads to, is the same but for those addresses."""
        if name not in self._chains:
            self._chains[name] = None
            self._chains[name] = self._is_same_chain(name)
        found = self._chains[name]
        if found is None:
            raise Unprovable(f"chain {name} leads to itself")
        return found

    def _is_same_chain(self, name: str) -> bool:
        was, is_ = self._were.get(name), self.chains.get(name)
        if was is None or is_ is None or was.rules != is_.rules:
            return False
        return all(
            all(self._parts.get(part, False) for part in asked_by(rule))
            and all(self.is_same(chain) for chain in led_to(rule, self.maps))
            for rule in is_.rules
        )

    def _is_same_part(self, was: Set | VerdictMap | None, is_: Set | VerdictMap) -> bool:
        if was is None or type(was) is not type(is_) or (was.key, was.interval) != (is_.key, is_.interval):
            return False
        if was.elements is is_.elements or was.elements == is_.elements:
            return True
        family = _OF_KEY.get(is_.key)
        if family is None:
            return False
        keys: set[object]
        if isinstance(was, VerdictMap) and isinstance(is_, VerdictMap):
            keys = {key for key, _ in _mapped(was) ^ _mapped(is_)}
        else:
            keys = {*was.elements} ^ {*is_.elements}
        if not all(isinstance(key, int) for key in keys):
            return False
        self.addresses[family].update(keys)  # type: ignore[arg-type]
        self._touched.add(str(is_.name))
        return True

    def is_touched(self, name: str) -> bool:
        """Whether a chain, or what it leads to, asks a set or map of addresses that differs."""
        return not self._touched.isdisjoint(
            part for chain in self.led_to(name).values() for rule in chain.rules for part in asked_by(rule)
        )

    def led_to(self, name: str) -> Mapping[str, Chain]:
        """A chain and all that it leads to, by name; those that are not there are left out."""
        found = self._led_to.get(name)
        if found is None:
            found = self._led_to[name] = {}
            waiting = [name]
            while waiting:
                chain = self.chains.get(waiting.pop())
                if chain is not None and chain.name not in found:
                    found[str(chain.name)] = chain
                    waiting.extend(each for rule in chain.rules for each in led_to(rule, self.maps))
        return found

    def looks_at(self, name: str, fields: frozenset[Field]) -> bool:
        """Whether a chain, or what it leads to, asks for one of these fields."""
        found = self._looks.get((name, fields))
        if found is None:
            found = self._looks[name, fields] = any(
                any(match.field in fields for match in rule.matches)
                or (isinstance(rule.action, Vmap) and rule.action.field in fields)
                for chain in self.led_to(name).values()
                for rule in chain.rules
            )
        return found


def _mapped(part: VerdictMap) -> set[tuple[Key, Verdict]]:
    """The elements of a map. Raises Unprovable where a key stands twice."""
    if len({key for key, _ in part.elements}) != len(part.elements):
        raise Unprovable(f"a key stands twice in map {part.name}")
    return set(part.elements)
