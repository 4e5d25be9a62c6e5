"""What was seen of a cluster: pods, what makes pods, namespaces, Services; and what may be missing.

Files hold what somebody manages there, seldom a whole cluster. So that nothing is found of which the
opposite may be true: `complete` False says that pods may exist that were not seen, `whole` that nothing
else does.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from policyd.cluster.index import LabelIndex, bits_of, mask_of
from policyd.kube.objects import (
    NAME_LABEL,
    KubeObject,
    Labels,
    LabelSelector,
    NamedPort,
    Namespace,
    NetworkPolicy,
    Pod,
    PodPeer,
    Protocol,
    Source,
)
from policyd.kube.selectors import matches
from policyd.kube.workloads import Service, Workload
from policyd_compiler.addr import Ranges

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
    """

    pods: tuple[SeenPod, ...]
    namespaces: Mapping[str, Labels]
    given: frozenset[str]
    services: tuple[Service, ...]
    policies: tuple[NetworkPolicy, ...]
    partial: tuple[str, ...] = ()
    whole: bool = False
    sources: Mapping[str, Source] = field(default_factory=dict)

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

    def labels_in(self, mask: int) -> Iterator[Mapping[str, str]]:
        """The different label sets of the pods of a mask."""
        return map(dict, dict.fromkeys(pod.labels for pod in self.of(mask)))

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

    @cached_property
    def _together(self) -> dict[str, tuple[tuple[tuple[NetworkPolicy, ...], int], ...]]:
        return {}

    def together(self, namespace: str) -> tuple[tuple[tuple[NetworkPolicy, ...], int], ...]:
        """The pods of a namespace in groups that the same policies isolate for egress, with these."""
        known = self._together.get(namespace)
        if known is None:
            groups: list[tuple[tuple[NetworkPolicy, ...], int]]
            groups = [((), self.within((namespace,)) & ~self.on_host)]
            for policy in self.policies_in.get(namespace, ()):
                if policy.egress is not None:
                    groups = list(_divided(groups, policy, self.selected(policy)))
            known = self._together[namespace] = tuple(groups)
        return known

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

    @property
    def dual_stack(self) -> bool:
        """Whether any pod has addresses of both families."""
        return any(pod.v4 is not None and pod.v6 is not None and not pod.host_network for pod in self.pods)


def _divided(
    groups: Iterable[tuple[tuple[NetworkPolicy, ...], int]], policy: NetworkPolicy, mask: int
) -> Iterator[tuple[tuple[NetworkPolicy, ...], int]]:
    """The groups, those apart that a further policy selects."""
    for policies, group in groups:
        if group & mask:
            yield (*policies, policy), group & mask
        if group & ~mask:
            yield policies, group & ~mask


def is_dns(peer: PodPeer) -> bool:
    """Whether a peer is meant to be the cluster's DNS."""
    return any(_DNS_LABELS.intersection(requirement.values) for requirement in peer.pods.requirements)


def is_elsewhere(selector: LabelSelector) -> bool:
    """Whether a selector names a namespace that is mostly not among the objects."""
    return any(ELSEWHERE.intersection(r.values) for r in selector.requirements if r.operator == "In")


def see(
    objects: Iterable[KubeObject],
    numbers: Mapping[tuple[str, str, str], frozenset[tuple[Protocol, int]]] | None = None,
    partial: Sequence[str] = (),
    *,
    whole: bool = False,
) -> Seen:
    """What these objects say of a cluster.

    `numbers`: ports that containers declare, by kind, namespace and name of what was written. Without a pod
    or what makes pods among the objects they are partial.
    """
    pods: list[SeenPod] = []
    spaces: dict[str, Namespace] = {}
    services: list[Service] = []
    policies: list[NetworkPolicy] = []
    for item in objects:
        match item:
            case Pod():
                if not item.terminal:
                    pods.append(_pod(item, numbers or {}))
            case Workload():
                pods.append(_workload(item, numbers or {}))
            case Namespace():
                other = spaces.get(item.name)
                labels = tuple(sorted({*item.labels, *(other.labels if other else ())}))
                spaces[item.name] = Namespace(item.name, labels, (other or item).source)
            case Service():
                services.append(item)
            case NetworkPolicy():
                policies.append(item)
            case _:
                pass
    if not pods and not whole:
        partial = (*partial, "no pod, and nothing that makes pods, is among the objects")
    used = {pod.namespace for pod in pods} | {policy.namespace for policy in policies}
    known = {name: space.labels for name, space in spaces.items()}
    known |= {name: ((NAME_LABEL, name),) for name in used - set(spaces)}
    return Seen(
        tuple(sorted(pods, key=lambda pod: (pod.namespace, pod.kind, pod.name))),
        {name: known[name] for name in sorted(known)},
        frozenset(spaces),
        tuple(services),
        tuple(policies),
        () if whole else tuple(partial),
        whole,
        {name: space.source for name, space in spaces.items() if space.source is not None},
    )


def _pod(pod: Pod, numbers: Mapping[tuple[str, str, str], frozenset[tuple[Protocol, int]]]) -> SeenPod:
    declared = numbers.get(("Pod", pod.namespace, pod.name), frozenset())
    return SeenPod(
        "Pod",
        pod.namespace,
        pod.name,
        pod.labels,
        pod.host_network,
        pod.ports,
        declared,
        pod.v4,
        pod.v6,
        pod.source,
    )


def _workload(
    item: Workload, numbers: Mapping[tuple[str, str, str], frozenset[tuple[Protocol, int]]]
) -> SeenPod:
    kind = type(item).__name__
    declared = numbers.get((kind, item.namespace, item.name), frozenset())
    return SeenPod(
        kind,
        item.namespace,
        item.name,
        item.labels,
        item.host_network,
        item.ports,
        declared,
        source=item.source,
    )
