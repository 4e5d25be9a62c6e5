"""What policies can tell one host from another by: of those that they cannot, one is asked about. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Iterator, Sequence

from policyd.ask.endpoints import Endpoint
from policyd.ask.ends import end_of
from policyd.ask.gates import FAMILIES, Gate
from policyd.ask.rectangles import families_of
from policyd.ask.tiers import has_tiers
from policyd.ask.why import blocks_of, blocks_of_tiers, isolating, stands_for_many
from policyd.ask.world import World
from policyd.cluster.peers import block_ranges
from policyd.kube.objects import IPBlock, NetworkPolicy, PodPeer, PolicyRule
from policyd_compiler.ir import Direction, Tier


class Alike:
    """What one world's policies see of a pair of endpoints: pairs that look alike are answered alike, by the
    same rules."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._edges = {family: _edges(world, family) for family in FAMILIES}
        self._seen: dict[tuple[Direction, Gate, int], Hashable] = {}
        self._peers: dict[tuple[Direction, Gate], _Peers] = {}
        self._some: dict[str, tuple[int, ...]] = {}

    def of_pair(self, sender: Endpoint, receiver: Endpoint) -> Hashable:
        """A value that is the same for pairs that look alike."""
        world, gates = self._world, self._world.gates
        here, there = self._of(sender), self._of(receiver)
        if not {*here}.isdisjoint(there) or world.claims.disputed:
            return sender.id, receiver.id
        return frozenset(
            (
                gates.egress[source],
                self._see("egress", source, destination),
                gates.ingress[destination],
                self._see("ingress", destination, source),
                families_of(world.claims.hosts[source]),
                families_of(world.claims.hosts[destination]),
            )
            for source in here
            for destination in there
        )

    def _of(self, endpoint: Endpoint) -> tuple[int, ...]:
        """The hosts of an endpoint; of those that are alike, one."""
        found = self._some.get(endpoint.id)
        if found is None:
            gates, kinds = self._world.gates, dict[Hashable, int]()
            for host in end_of(self._world, endpoint).hosts:
                kind = (gates.egress[host], gates.ingress[host], self._look(host), self._place(host))
                kinds.setdefault(kind, host)
            found = self._some[endpoint.id] = tuple(kinds.values())
        return found

    def _see(self, direction: Direction, subject: int, other: int) -> Hashable:
        """What the policies of one host in a direction can tell of another."""
        gate: Gate | None = getattr(self._world.gates, direction)[subject]
        if gate is None:
            return None
        if gate.doubt:
            return subject, other
        key = direction, gate, other
        if key not in self._seen:
            if key[:2] not in self._peers:
                self._peers[key[:2]] = _Peers(self._world, direction, gate, subject)
            peers = self._peers[key[:2]]
            named = tuple(pod.ports for pod in self._world.claimants(other)) if peers.named else ()
            place = self._place(other) if peers.blocks else ()
            self._seen[key] = (*peers.matching(other), named, place)
        return self._seen[key]

    def _look(self, host: int) -> Hashable:
        """What a selector or the name of a port can tell of a host."""
        return tuple(
            (pod.namespace, pod.labels, pod.ports, stands_for_many(self._world, host))
            for pod in self._world.claimants(host)
        )

    def _place(self, host: int) -> Hashable:
        """Between which edges of blocks the addresses of a host are."""
        addresses = self._world.claims.hosts[host]
        return tuple(
            None if (value := addresses.address(family)) is None else bisect_right(self._edges[family], value)
            for family in FAMILIES
        )


class _Peers:
    """Whom the rules of a gate name, as masks of hosts."""

    def __init__(self, world: World, direction: Direction, gate: Gate, subject: int) -> None:
        policies = tuple(dict.fromkeys(isolating(world, (subject,), direction)))
        rules = [(policy, rule) for policy in policies for rule in _rules_of(policy, direction)]
        #: Whether a rule names a port that peers must have, and whether one names addresses.
        self.named = any(isinstance(port.port, str) for _, rule in rules for port in rule.ports or ())
        peers = [(policy, peer) for policy, rule in rules for peer in rule.peers or ()]
        self.blocks = any(isinstance(peer, IPBlock) for _, peer in peers)
        self._masks = [
            governed.resolver.held(policy, peer)
            for policy, peer in peers
            if isinstance(peer, PodPeer)
            for governed in (world.certain, world.possible)
        ]
        if has_tiers(gate):
            self._masks.extend(_of_tiers(world, gate))

    def matching(self, host: int) -> Iterator[int]:
        """Which of the masks have a host."""
        for mask in self._masks:
            yield mask >> host & 1


def _of_tiers(world: World, gate: Gate) -> Iterator[int]:
    """Whom the rules of ClusterNetworkPolicies match for sure, and whom they may, by family."""
    for tier, certain, possible in world.gates.paired(gate):
        if tier is not Tier.NETWORK_POLICY:
            for family in FAMILIES:
                yield from world.gates.matched(certain, possible, family)


def _rules_of(policy: NetworkPolicy, direction: Direction) -> Sequence[PolicyRule]:
    return (policy.ingress if direction == "ingress" else policy.egress) or ()


def _edges(world: World, family: int) -> list[int]:
    """Where blocks that any policy names begin and end: between two edges all addresses are alike."""
    written = (peer for policy in world.state.policies.values() for peer in blocks_of(policy))
    found: set[int] = set()
    for block in dict.fromkeys((*written, *blocks_of_tiers(world))):
        for low, high in block_ranges(block).ranges(family):
            found.update((low, high + 1))
    return sorted(found)
