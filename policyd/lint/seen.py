"""What was seen of a cluster: pods, what makes pods, namespaces, Services; and what may be missing.

Files hold what somebody manages there, seldom a whole cluster. So that nothing is found of which the
opposite may be true: `complete` False says that pods may exist that were not seen, `whole` that nothing
else does.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar, cast

from policyd.cluster.index import LabelIndex, bits_of, mask_of
from policyd.kube.cidr import parse_ip
from policyd.kube.objects import (
    NAME_LABEL,
    ClusterNetworkPolicy,
    Labels,
    LabelSelector,
    NamedPort,
    NetworkPolicy,
    Node,
    PodPeer,
    Protocol,
    Source,
)
from policyd.kube.selectors import matches
from policyd.kube.workloads import Service
from policyd.lint.selectors import Repair, repairs
from policyd_compiler.addr import Ranges

T = TypeVar("T")

#: Namespaces that every cluster has, or that belong to what is mostly installed from elsewhere.
ELSEWHERE = frozenset(
    (
        *("kube-system", "kube-public", "kube-node-lease", "default", "ingress-nginx", "cert-manager"),
        *("istio-system", "linkerd", "monitoring", "observability", "traefik", "gatekeeper-system"),
        *("openshift-dns", "openshift-ingress", "openshift-monitoring", "calico-system", "argocd"),
    )
)
#: Labels of a cluster's DNS, which is seldom among the objects.
_DNS_LABELS = frozenset(("kube-dns", "node-local-dns", "coredns"))


#: Selectors for which it is looked for what they may have meant.
MOST_SEARCHES = 200


@dataclass(frozen=True, slots=True)
class SeenPod:
    """A pod, or what makes pods: labels and named ports are those of its pods, which then have no address.

    `numbers` are ports that containers declare, also without a name, as far as that is known.
    """

    kind: str
    namespace: str
    name: str
    labels: Labels
    host_network: bool
    ports: tuple[NamedPort, ...]
    numbers: frozenset[tuple[Protocol, int]] = frozenset()
    v4: int | None = None
    v6: int | None = None
    source: Source | None = None

    def has_number(self, protocol: Protocol, number: int) -> bool:
        """Whether a container declares this port."""
        named = any(p.protocol == protocol and p.number == number for p in self.ports)
        return named or (protocol, number) in self.numbers


@dataclass(frozen=True, slots=True)
class Spaces:
    """Namespaces that a selector matches: of those that were seen, and whether others may match."""

    names: tuple[str, ...]
    others: bool


@dataclass(frozen=True)
class Seen:
    """`namespaces` are the labels of each that was given or is used; `given` those with an object.

    `partial` are the reasons why pods may exist that were not seen. `whole`: this is a whole cluster.
    `tiers`: ClusterNetworkPolicies, which may allow or deny before any policy is asked.
    """

    pods: tuple[SeenPod, ...]
    namespaces: Mapping[str, Labels]
    given: frozenset[str]
    services: tuple[Service, ...]
    policies: tuple[NetworkPolicy, ...]
    partial: tuple[str, ...] = ()
    whole: bool = False
    tiers: tuple[ClusterNetworkPolicy, ...] = ()
    sources: Mapping[str, Source] = field(default_factory=dict)
    nodes: tuple[Node, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether all pods were seen, as far as can be told."""
        return not self.partial

    @property
    def one(self) -> str:
        """`pod`, or, where others may exist, `pod that was read`."""
        return "pod" if self.complete else "pod that was read"

    @cached_property
    def _labels(self) -> LabelIndex:
        return LabelIndex(pod.labels for pod in self.pods)

    @cached_property
    def _by_namespace(self) -> Mapping[str, int]:
        found: dict[str, list[int]] = {}
        for bit, pod in enumerate(self.pods):
            found.setdefault(pod.namespace, []).append(bit)
        return {name: mask_of(bits, len(self.pods)) for name, bits in found.items()}

    @cached_property
    def on_host(self) -> int:
        """The pods on their node's network, which no policy is about."""
        return mask_of((bit for bit, pod in enumerate(self.pods) if pod.host_network), len(self.pods))

    @cached_property
    def names_all(self) -> bool:
        """Whether who gave the objects seems to give all namespaces: several, and each that is used."""
        used = {pod.namespace for pod in self.pods} | {policy.namespace for policy in self.policies}
        return self.whole or (len(self.given) > 1 and used <= self.given)

    @cached_property
    def services_in(self) -> Mapping[str, tuple[Service, ...]]:
        """The Services of each namespace."""
        found: dict[str, tuple[Service, ...]] = {}
        for service in self.services:
            found[service.namespace] = (*found.get(service.namespace, ()), service)
        return found

    @cached_property
    def policies_in(self) -> Mapping[str, tuple[NetworkPolicy, ...]]:
        """The policies of each namespace."""
        found: dict[str, list[NetworkPolicy]] = {}
        for policy in self.policies:
            found.setdefault(policy.namespace, []).append(policy)
        return {name: tuple(policies) for name, policies in found.items()}

    def within(self, namespaces: Iterable[str]) -> int:
        """The pods of some namespaces."""
        mask = 0
        for name in namespaces:
            mask |= self._by_namespace.get(name, 0)
        return mask

    def select(self, selector: LabelSelector) -> int:
        """The pods of all namespaces that a selector matches, those on their node's network, too."""
        return self._labels.select(selector)

    def selected(self, policy: NetworkPolicy) -> int:
        """The pods that a policy selects, those on their node's network, too."""
        return self.within((policy.namespace,)) & self.select(policy.pods)

    def of(self, mask: int) -> list[SeenPod]:
        """The pods of a mask."""
        return [self.pods[bit] for bit in bits_of(mask)]

    def some(self, mask: int) -> str:
        """The first pod of a mask, and how many more there are, in words."""
        first = self.pods[(mask & -mask).bit_length() - 1]
        more = f" and {mask.bit_count() - 1} more" if mask.bit_count() > 1 else ""
        return f"{first.namespace}/{first.name}{more}"

    def labels_in(self, mask: int) -> tuple[Mapping[str, str], ...]:
        """The different label sets of the pods of a mask."""
        known = self._label_sets.get(mask)
        if known is None:
            known = tuple(map(dict, dict.fromkeys(pod.labels for pod in self.of(mask))))
            self._label_sets[mask] = known
        return known

    @cached_property
    def _label_sets(self) -> dict[int, tuple[Mapping[str, str], ...]]:
        return {}

    def spaces(self, policy: NetworkPolicy, peer: PodPeer) -> Spaces:
        """The namespaces that a peer is about (NP-036)."""
        if peer.namespaces is None:
            return Spaces((policy.namespace,), others=False)
        selector = peer.namespaces
        known = self._spaces.get(selector)
        if known is None:
            names = tuple(n for n, labels in self.namespaces.items() if matches(selector, dict(labels)))
            known = Spaces(names, others=not self.names_all and not self._is_closed(selector))
            self._spaces[selector] = known
        return known

    def _is_closed(self, selector: LabelSelector) -> bool:
        """Whether every namespace that the selector can match was seen."""
        for requirement in selector.requirements:
            if requirement.key == NAME_LABEL and requirement.operator == "In":
                return all(value in self.namespaces for value in requirement.values)
        return False

    def peers(self, policy: NetworkPolicy, peer: PodPeer) -> int:
        """The pods that a peer matches, those on their node's network, too."""
        key = (policy.namespace if peer.namespaces is None else "", peer)
        mask = self._peers.get(key)
        if mask is None:
            mask = self.within(self.spaces(policy, peer).names) & self.select(peer.pods)
            self._peers[key] = mask
        return mask

    @cached_property
    def _spaces(self) -> dict[LabelSelector, Spaces]:
        return {}

    @cached_property
    def _peers(self) -> dict[tuple[str, PodPeer], int]:
        return {}

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What is made of all that was seen, and made only once."""
        if key not in self._made:
            self._made[key] = make()
        return cast(T, self._made[key])

    @cached_property
    def _made(self) -> dict[Hashable, object]:
        return {}

    @cached_property
    def _addresses(self) -> dict[int, list[tuple[int, int]]]:
        found: dict[int, list[tuple[int, int]]] = {4: [], 6: []}
        for number, pod in enumerate(self.pods):
            for family, value in ((4, pod.v4), (6, pod.v6)):
                if value is not None and not pod.host_network:
                    found[family].append((value, number))
        return {family: sorted(pairs) for family, pairs in found.items()}

    def addressed(self, family: int, ranges: Ranges) -> list[int]:
        """The numbers of the pods whose address of a family is in any of the ranges."""
        pairs = self._addresses[family]
        return [
            number
            for low, high in ranges
            for _, number in pairs[bisect_left(pairs, (low, -1)) : bisect_left(pairs, (high + 1, -1))]
        ]

    def repairs(self, selector: LabelSelector, mask: int) -> tuple[Repair, ...]:
        """What a selector that matches nothing may have meant among some pods.

        For so many selectors only (`MOST_SEARCHES`): past that nobody reads what is found.
        """
        key = (selector, mask)
        if key not in self._repairs:
            if len(self._repairs) >= MOST_SEARCHES:
                return ()
            self._repairs[key] = repairs(selector, self.labels_in(mask))
        return self._repairs[key]

    @cached_property
    def _repairs(self) -> dict[tuple[LabelSelector, int], tuple[Repair, ...]]:
        return {}

    def namespaces_of(self, mask: int) -> list[str]:
        """The namespaces that some pods are in, sorted."""
        return sorted(name for name, pods in self._by_namespace.items() if pods & mask)

    def port_names(self, mask: int) -> frozenset[tuple[str, Protocol]]:
        """The names of ports, with their protocols, that any of some pods has."""
        known = self._port_names.get(mask)
        if known is None:
            known = frozenset((port.name, port.protocol) for pod in self.of(mask) for port in pod.ports)
            self._port_names[mask] = known
        return known

    @cached_property
    def _port_names(self) -> dict[int, frozenset[tuple[str, Protocol]]]:
        return {}

    @cached_property
    def service_addresses(self) -> tuple[tuple[int, int, str], ...]:
        """Family, number and Service of each cluster address, sorted."""
        return tuple(
            sorted(
                (*parse_ip(text), f"{service.namespace}/{service.name}")
                for service in self.services
                for text in service.addresses
            )
        )

    @property
    def dual_stack(self) -> bool:
        """Whether any pod has addresses of both families."""
        return any(pod.v4 is not None and pod.v6 is not None and not pod.host_network for pod in self.pods)


def is_dns(peer: PodPeer) -> bool:
    """Whether a peer is meant to be the cluster's DNS."""
    return any(_DNS_LABELS.intersection(requirement.values) for requirement in peer.pods.requirements)


def is_elsewhere(selector: LabelSelector) -> bool:
    """Whether a selector names a namespace that is mostly not among the objects."""
    return any(ELSEWHERE.intersection(r.values) for r in selector.requirements if r.operator == "In")
