"""A cluster as it is asked about: all endpoints of all nodes, and what governs each. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from policyd.ask.doubt import DoubtingIndex
from policyd.ask.endpoints import Endpoint, find_endpoints
from policyd.ask.gates import Gates
from policyd.cluster.everywhere import Governed, Policies, govern
from policyd.cluster.index import mask_of
from policyd.cluster.ownership import Claims, addresses_of_nodes, claim_addresses
from policyd.cluster.state import ClusterState, MissingNamespaces
from policyd.kube.kind import Kind
from policyd.kube.objects import NAME_LABEL, KubeObject, Labels, Namespace, NetworkPolicy, Pod
from policyd.kube.publishing import Backend, Publisher
from policyd.kube.registry import ASKED, PUBLISHERS, REFERENCE_GRANT, SERVICE
from policyd.kube.selectors import matches
from policyd.kube.workloads import Service
from policyd_compiler.ir import Host


@dataclass(frozen=True)
class World:
    """Endpoints are sorted by id. A host is one bit of every mask, as in the IR: a pod with its addresses.

    A host may have no address: a pod that has none yet, or one that stands for what a template makes. Mostly
    an endpoint's hosts are its pods; a pod that shares one of its addresses with others has two (NP-166).
    """

    state: ClusterState
    endpoints: tuple[Endpoint, ...]
    claims: Claims
    namespaces: Mapping[str, Namespace]
    unknown_namespaces: frozenset[str]
    certain: Governed
    possible: Governed
    #: The one namespace that was read, where others may not be; "" where all were.
    only_namespace: str = ""

    @classmethod
    def read(
        cls, objects: Iterable[KubeObject], missing_namespaces: MissingNamespaces = MissingNamespaces.UNKNOWN
    ) -> World:
        """The world of these objects, of kinds of `registry.ASKED`; of two with one key the later counts."""
        return cls.of(ClusterState.of(objects, missing_namespaces, ASKED))

    @classmethod
    def of(cls, state: ClusterState, *, by_pod: bool = False, only_namespace: str = "") -> World:
        """The world of a state. A Namespace that is missing has unknown labels, unless the state names it."""
        endpoints = find_endpoints(state, by_pod=by_pod)
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
        ends = tuple(_with_addresses(endpoints, claims))
        return cls(state, ends, claims, namespaces, unknown, certain, possible, only_namespace)

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
    def number(self) -> dict[str, int]:
        """By id, the place of an endpoint among `endpoints` and `hosts`."""
        return {endpoint.id: number for number, endpoint in enumerate(self.endpoints)}

    @cached_property
    def by_address(self) -> dict[tuple[int, int], int]:
        """By family and address, the host that has it."""
        return {
            (family, value): number
            for number, host in enumerate(self.claims.hosts)
            for family in (4, 6)
            if (value := host.address(family)) is not None
        }

    @cached_property
    def nodes(self) -> dict[tuple[int, int], str]:
        """By family and address, the node that has it."""
        found = addresses_of_nodes(self.state.nodes.values())
        return {(family, value): name for family in found for value, name in found[family].items()}

    @cached_property
    def selecting(self) -> dict[tuple[str, Labels], tuple[NetworkPolicy, ...]]:
        """By namespace and labels of pods, the policies that select them, by name."""
        by_namespace: dict[str, list[NetworkPolicy]] = {}
        for key in sorted(self.state.policies):
            policy = self.state.policies[key]
            by_namespace.setdefault(policy.namespace, []).append(policy)
        kinds = {(pod.namespace, pod.labels) for pod in self.claims.pods}
        return {
            (namespace, labels): tuple(
                policy for policy in by_namespace.get(namespace, ()) if matches(policy.pods, dict(labels))
            )
            for namespace, labels in kinds
        }

    @cached_property
    def services(self) -> dict[str, Service]:
        """The Services by `namespace/name`, if they were asked for."""
        return dict(self.state.all(SERVICE)) if SERVICE in self.state.kinds else {}

    @cached_property
    def publishers(self) -> tuple[tuple[str, Publisher], ...]:
        """What leads to Services from outside, with its kind, if it was asked for."""
        found: list[tuple[str, Publisher]] = []
        for kind in PUBLISHERS:
            rows: Kind[Any] = kind
            if kind in self.state.kinds:
                found.extend((kind.name, item) for _, item in sorted(self.state.all(rows).items()))
        return tuple(found)

    def claimants(self, host: int) -> tuple[Pod, ...]:
        """The pods of a host."""
        return tuple(self.claims.pods[claim] for claim in self.claims.to(host))

    def lets(self, kind: str, publisher: Publisher, backend: Backend) -> bool:
        """Whether what leads to a Service may: one of another namespace takes a ReferenceGrant there.

        Of a namespace that could not be read nobody knows; its Services were not read either.
        """
        if backend.namespace == publisher.namespace or self.only_namespace not in ("", backend.namespace):
            return True
        grants = self.state.all(REFERENCE_GRANT) if REFERENCE_GRANT in self.state.kinds else {}
        return any(grant.lets(kind, publisher.namespace, backend) for grant in grants.values())

    @cached_property
    def policies(self) -> dict[str, KubeObject]:
        """The policies by `namespace/name`, or the name of a ClusterNetworkPolicy."""
        return dict(self.state.every_policy)


def _with_addresses(endpoints: Iterable[Endpoint], claims: Claims) -> Iterator[Endpoint]:
    """The endpoints with the addresses that count (NP-167)."""
    held: dict[int, Host] = {}
    for claim, pod in enumerate(claims.pods):
        host = claims.hosts[claims.host_of(claim)]
        before = held.get(id(pod))
        if before is not None:  # a pod of two hosts shares one of its addresses
            host = Host(before.v4 if host.v4 is None else host.v4, before.v6 if host.v6 is None else host.v6)
        held[id(pod)] = host
    for endpoint in endpoints:
        yield replace(endpoint, held=tuple([held[id(pod)] for pod in endpoint.pods]))
