"""A cluster as it is asked about: all endpoints of all nodes, and what governs each. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from policyd.ask.doubt import DoubtingIndex
from policyd.ask.endpoints import Endpoint, find_endpoints
from policyd.ask.gates import Gate, Gates
from policyd.cluster.everywhere import Governed, Policies, govern
from policyd.cluster.index import mask_of
from policyd.cluster.ownership import Claims, claim_addresses
from policyd.cluster.state import ClusterState, MissingNamespaces
from policyd.kube.objects import NAME_LABEL, KubeObject, Namespace, Pod
from policyd.kube.registry import ASKED
from policyd_compiler.addr import print_address


@dataclass(frozen=True)
class World:
    """Endpoints are sorted by id. A host is one bit of every mask, as in the IR: a pod with its addresses.

    A host may have no address: a pod that has none yet, or one that stands for what a template makes. Mostly
    an endpoint's hosts are its pods; a pod that shares one of its addresses with others has two (NP-166).
    """

    state: ClusterState
    endpoints: tuple[Endpoint, ...]
    claims: Claims
    unknown_namespaces: frozenset[str]
    certain: Governed
    possible: Governed

    @classmethod
    def read(
        cls, objects: Iterable[KubeObject], missing_namespaces: MissingNamespaces = MissingNamespaces.UNKNOWN
    ) -> World:
        """The world of these objects, of kinds of `registry.ASKED`; of two with one key the later counts."""
        return cls.of(ClusterState.of(objects, missing_namespaces, ASKED))

    @classmethod
    def of(cls, state: ClusterState) -> World:
        """The world of a state. A Namespace that is missing has unknown labels, unless the state names it."""
        endpoints = find_endpoints(state)
        members = [pod for endpoint in endpoints for pod in endpoint.members]
        nodes = [state.nodes[key] for key in sorted(state.nodes)]
        claims = claim_addresses(members, nodes, without_address=True)
        namespaces = dict(state.namespaces)
        unknown = frozenset(pod.namespace for pod in claims.pods) - namespaces.keys()
        if state.missing_namespaces is MissingNamespaces.NAMED:
            namespaces.update((name, Namespace(name, ((NAME_LABEL, name),))) for name in unknown)
            unknown = frozenset()
        policies = Policies(
            tuple(state.policies[key] for key in sorted(state.policies)),
            tuple(state.cluster_policies.values()),
            tuple(nodes),
        )
        strict = DoubtingIndex(claims.pods, namespaces, unknown, generous=False)
        certain = possible = govern(policies, claims, strict)
        if unknown:
            generous = DoubtingIndex(claims.pods, namespaces, unknown, generous=True)
            possible = govern(policies, claims, generous)
        return cls(state, tuple(_with_addresses(endpoints, claims)), claims, unknown, certain, possible)

    @cached_property
    def gates(self) -> Gates:
        """What the isolations of the hosts let through."""
        return Gates(self.claims, self.certain, self.possible)

    @cached_property
    def hosts(self) -> tuple[int, ...]:
        """The hosts of each endpoint, as a mask."""
        numbers = {id(pod): at for at, each in enumerate(self.endpoints) for pod in each.members}
        bits: list[list[int]] = [[] for _ in self.endpoints]
        for claim, pod in enumerate(self.claims.pods):
            bits[numbers[id(pod)]].append(self.claims.host_of(claim))
        return tuple(mask_of(each, len(self.claims.hosts)) for each in bits)

    @cached_property
    def by_id(self) -> dict[str, Endpoint]:
        """The endpoints by their ids."""
        return {endpoint.id: endpoint for endpoint in self.endpoints}

    def policies_of(self, gate: Gate | None) -> tuple[str, ...]:
        """The policies that isolate who is behind a gate, as `namespace/name`."""
        return () if gate is None else tuple(origin.policy for origin in gate.certain.policies)

    def claimants(self, host: int) -> tuple[Pod, ...]:
        """The pods of a host."""
        return tuple(self.claims.pods[claim] for claim in self.claims.to(host))

    @cached_property
    def policies(self) -> dict[str, KubeObject]:
        """The policies by `namespace/name`, or the name of a ClusterNetworkPolicy."""
        return dict(self.state.every_policy)


def _with_addresses(endpoints: Iterable[Endpoint], claims: Claims) -> Iterator[Endpoint]:
    """The endpoints with the addresses that count (NP-167)."""
    held: dict[int, dict[int, str]] = {}
    for claim, pod in enumerate(claims.pods):
        host = claims.hosts[claims.host_of(claim)]
        for family in (4, 6):
            value = host.address(family)
            if value is not None:
                held.setdefault(id(pod), {})[family] = print_address(family, value)
    for endpoint in endpoints:
        found = (held.get(id(pod), {}) for pod in endpoint.pods)
        yield replace(endpoint, addresses=tuple(each[family] for each in found for family in sorted(each)))
