"""Why any of all pairs is allowed or denied, small enough for a page. Pure.

A page cannot hold an answer of `why` for each pair: of 300 workloads there are 90 000. But an answer is made
of two directions, and what a rule makes of the other end is the same whoever is selected. So the page has
each policy once, its peers as *needs* (labels, a namespace, an address), and each need once, with who meets
it. It puts them together by itself: a peer fits whoever meets all its needs.
`tests/property/test_reasons.py` holds that to `why`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

from policyd.ask.doubt import matches_unknown
from policyd.ask.ends import End, end_of, parties
from policyd.ask.fits import Reference, peers_of, print_ip_block, print_ports, print_requirement, reference_of
from policyd.ask.gates import FAMILIES, Gate
from policyd.ask.ports import print_ports as print_numbers
from policyd.ask.tiers import has_tiers
from policyd.ask.why import isolated_by
from policyd.ask.world import World
from policyd.kube.cidr import holds
from policyd.kube.objects import IPBlock, LabelSelector, NetworkPolicy, Peer, Pod, PodPeer, Requirement
from policyd.kube.selectors import matches
from policyd_compiler.ir import Direction, Peers, Tier

Json: TypeAlias = dict[str, Any]
DIRECTIONS: tuple[Direction, ...] = ("ingress", "egress")
#: Whether an end meets a need; None: in part, or not known.
Met: TypeAlias = bool | None


@dataclass(slots=True)
class _Book:
    """What was written down once, and its number."""

    entries: list[Json] = field(default_factory=list)
    numbers: dict[object, int] = field(default_factory=dict)

    def number(self, key: object, make: Callable[[], Json]) -> int:
        if key not in self.numbers:
            self.numbers[key] = len(self.entries)
            self.entries.append(make())
        return self.numbers[key]


def reasons(world: World) -> Json:
    """`policies`, `needs`, `tiers`, and `sides`: of each endpoint, by direction, its policies and its tiers.

    Ends are numbers: endpoints in their order, and behind them all addresses outside.
    """
    return _Reasons(world).all()


class _Reasons:
    def __init__(self, world: World) -> None:
        self._world = world
        self._ends = [*(end_of(world, each) for each in world.endpoints), End(anywhere=True)]
        self._pods = [tuple(map(world.claimants, end.hosts)) for end in self._ends]
        self._needs, self._policies, self._tiers = _Book(), _Book(), _Book()

    def all(self) -> Json:
        sides = [{d: self._side(end, d) for d in DIRECTIONS} for end in self._ends[:-1]]
        return {
            "policies": self._policies.entries,
            "needs": self._needs.entries,
            "tiers": self._tiers.entries,
            "sides": sides,
        }

    def _side(self, end: End, direction: Direction) -> Json:
        """The policies that isolate an end, and its tiers."""
        policies = [self._policy(name) for name in isolated_by(self._world, end, direction)]
        gates = getattr(self._world.gates, direction)
        found = dict.fromkeys(gates[host] for host in end.hosts if has_tiers(gates[host]))
        return {"policies": policies, "tiers": [self._of_tiers(gate) for gate in found]}

    def _policy(self, name: str) -> int:
        policy = self._world.policies[name]
        assert isinstance(policy, NetworkPolicy)  # noqa: S101 for mypy: ClusterNetworkPolicies have no namespace
        return self._policies.number(name, lambda: self._written(name, policy))

    def _written(self, name: str, policy: NetworkPolicy) -> Json:
        found: Json = {"name": name}
        for direction in DIRECTIONS:
            rules = getattr(policy, direction) or ()
            found[direction] = [
                {"ports": print_ports(rule), **self._peer(policy, peer), **_place(reference)}
                for number, rule in enumerate(rules)
                for at, peer in peers_of(rule)
                for reference in (reference_of(policy, direction, number, rule, at),)
            ]
        return found

    def _peer(self, policy: NetworkPolicy, peer: Peer | None) -> Json:
        match peer:
            case None:
                return {"needs": []}
            case IPBlock():
                return {"needs": [self._block(peer)]}
            case PodPeer():
                return {"needs": list(self._selectors(policy, peer))}

    def _selectors(self, policy: NetworkPolicy, peer: PodPeer) -> Iterator[int]:
        if peer.namespaces is None:
            here = policy.namespace
            yield self._pod_need(("in", here), f"in {here}", lambda pod: pod.namespace == here)
        for wanted in peer.namespaces.requirements if peer.namespaces is not None else ():
            yield self._label(wanted, "namespace")
        for wanted in peer.pods.requirements:
            yield self._label(wanted, "pod")
        if peer.namespaces is not None and not peer.namespaces.requirements + peer.pods.requirements:
            yield self._pod_need("pod", "any pod", bool)

    def _label(self, wanted: Requirement, of: str) -> int:
        selector = LabelSelector((wanted,))
        more = {"key": wanted.key, "of": of}
        text = print_requirement(wanted)
        if of == "pod":
            return self._pod_need((of, wanted), text, lambda pod: matches(selector, dict(pod.labels)), more)
        return self._pod_need(
            (of, wanted), f"namespace {text}", lambda pod: self._namespace(selector, pod.namespace), more
        )

    def _pod_need(self, key: object, text: str, met: Callable[[Pod], Met], more: Json | None = None) -> int:
        """A need of pods: whoever claims an address must meet it (NP-166)."""
        return self._need(
            key, text, lambda end: _over(_all(map(met, pods)) for pods in self._pods[end]), more
        )

    def _namespace(self, selector: LabelSelector, name: str) -> Met:
        if name in self._world.unknown_namespaces:
            return matches_unknown(selector, name)
        return matches(selector, dict(self._world.namespaces[name].labels))

    def _block(self, block: IPBlock) -> int:
        return self._need(block, print_ip_block(block), lambda end: _over(self._in_block(block, end)))

    def _in_block(self, block: IPBlock, number: int) -> Iterator[Met]:
        """By each address of an end, whether it is in a block."""
        end = self._ends[number]
        whole = block.cidr is not None and not block.cidr.prefix and not block.excepts
        for host in end.hosts or (None,):
            for family, party in parties(self._world, end, host).items():
                if block.cidr is None or block.cidr.family != family:
                    yield False
                elif whole or party.address is None:
                    yield True if whole else None
                else:
                    inside = [holds(cidr, family, party.address) for cidr in (block.cidr, *block.excepts)]
                    yield inside[0] and not any(inside[1:])

    def _of_tiers(self, gate: Gate) -> int:
        return self._tiers.number(gate, lambda: self._tier_rules(gate))

    def _tier_rules(self, gate: Gate) -> Json:
        """The rules of ClusterNetworkPolicies, in the order in which they are asked."""
        if gate.doubt:
            return {"doubt": True, "rules": []}
        rules: list[Json] = []
        for tier, certain, possible in self._world.gates.paired(gate):
            if tier is Tier.NETWORK_POLICY:
                continue
            masks = [self._world.gates.matched(certain, possible, family) for family in FAMILIES]
            met = partial(self._by_masks, certain.peers, masks)
            origin = certain.origins[0]
            reference = Reference(origin.policy, origin.rule, "", origin.file, origin.line)
            need = self._need((gate, len(rules), tier), "its peers", met)
            rule = {"tier": tier.value, "action": certain.action.value, "ports": print_numbers(certain.ports)}
            rules.append({**rule, "policy": origin.policy, "needs": [need], **_place(reference)})
        return {"doubt": False, "rules": rules}

    def _by_masks(self, peers: Peers, masks: list[tuple[int, int]], number: int) -> Met:
        hosts = self._ends[number].hosts
        if not hosts:
            everywhere = all(peers.ranges(family) for family in FAMILIES)
            return True if peers.anything else None if everywhere or peers.v4 or peers.v6 else False
        return _over(
            True if surely >> host & 1 else None if maybe >> host & 1 else False
            for host in hosts
            for surely, maybe in masks
        )

    def _need(self, key: object, text: str, met: Callable[[int], Met], more: Json | None = None) -> int:
        def make() -> Json:
            found = [met(end) for end in range(len(self._ends))]
            yes = [number for number, each in enumerate(found) if each is True]
            part = [number for number, each in enumerate(found) if each is None]
            return {"text": text, "yes": _ranges(yes), "part": _ranges(part), **(more or {})}

        return self._needs.number(key, make)


def _place(reference: Reference) -> Json:
    return {"at": reference.peer or reference.rule, "file": reference.file, "line": reference.line}


def _all(found: Iterable[Met]) -> Met:
    """What holds of all together."""
    values = set(found)
    return False if False in values else None if None in values else True


def _over(found: Iterable[Met]) -> Met:
    """What holds whichever of these is asked; of nobody nothing does."""
    values = set(found)
    return values.pop() if len(values) == 1 else (None if values else False)


def _ranges(numbers: list[int]) -> list[int]:
    """Ascending numbers as first, last, first, last."""
    found: list[int] = []
    for number in numbers:
        if found and found[-1] == number - 1:
            found[-1] = number
        else:
            found += [number, number]
    return found
