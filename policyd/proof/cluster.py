"""What the objects of a cluster say about one node: who holds which address, which policies select whom.

Nothing of this is shared with `policyd/cluster`, which reads the same objects for the compiler.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import ip_address
from typing import Literal, TypeAlias

from policyd.cluster.state import ClusterState, MissingNamespaces
from policyd.kube.objects import (
    ClusterNetworkPolicy,
    IPBlock,
    LabelSelector,
    NetworkPolicy,
    Node,
    Pod,
    PodPeer,
    PolicyPort,
    PolicyRule,
    TierName,
    TierRule,
)
from policyd.proof.line import Stretch, block
from policyd_compiler.nft.keys import Family

FAMILIES: tuple[Family, ...] = (4, 6)
Direction: TypeAlias = Literal["ingress", "egress"]
DIRECTIONS: tuple[Direction, ...] = ("ingress", "egress")
#: The tiers in the order in which they are asked; None stands for NetworkPolicies.
TIERS: tuple[TierName | None, ...] = ("Admin", None, "Baseline")
#: Policies that say something of a direction of a pod.
Governing: TypeAlias = tuple[NetworkPolicy | ClusterNetworkPolicy, ...]
#: A pod's interface on the node, and the bridge whose port it is, if any.
Link: TypeAlias = tuple[str, str]
_NAME = "kubernetes.io/metadata.name"


def is_nobodys(family: Family, address: int) -> bool:
    """Whether no pod can hold an address: it is unspecified, loopback, link-local or for groups (NP-167)."""
    if family == 4:
        odd = address in (0, 0xFFFF_FFFF) or address >> 24 == 127
        return odd or address >> 16 == 0xA9FE or address >> 28 == 0xE
    return address < 2 or address >> 118 == 0xFE80 >> 6 or address >> 120 == 0xFF


def selects(selector: LabelSelector, labels: Mapping[str, str]) -> bool:
    """Whether labels meet every requirement (NP-030 to NP-035)."""
    for requirement in selector.requirements:
        value = labels.get(requirement.key)
        among = value is not None and (not requirement.values or value in requirement.values)
        if among != (requirement.operator in ("In", "Exists")):
            return False
    return True


@dataclass(frozen=True)
class Cluster:
    """A cluster, seen from a node. Policies in `closed` isolate and allow nothing (decisions 8).

    With `only`, other addresses of its pods do not count.
    """

    state: ClusterState
    node: str
    closed: frozenset[str] = frozenset()
    only: Mapping[Family, Container[int]] | None = None
    _matched: dict[LabelSelector, tuple[str, ...]] = field(default_factory=dict)
    _governing: dict[object, Governing] = field(default_factory=dict)

    @cached_property
    def nodes(self) -> Mapping[Family, frozenset[int]]:
        """The addresses of nodes."""
        return _addresses(self.state.nodes.values())

    @cached_property
    def claims(self) -> Mapping[Family, Mapping[int, tuple[Pod, ...]]]:
        """By address, the pods that claim it (NP-092, NP-100, NP-166)."""
        found: dict[Family, dict[int, tuple[Pod, ...]]] = {4: {}, 6: {}}
        for pod in self.state.pods.values():
            if pod.host_network or pod.terminal:
                continue
            for family in FAMILIES:
                address = pod.v4 if family == 4 else pod.v6
                if address is None or is_nobodys(family, address) or address in self.nodes[family]:
                    continue
                if self.only is not None and address not in self.only[family]:
                    continue
                found[family][address] = (*found[family].get(address, ()), pod)
        return found

    @cached_property
    def local(self) -> Mapping[Family, tuple[int, ...]]:
        """The addresses that a pod of the node claims: what others claim of them is judged here, too."""
        return {
            family: tuple(sorted(a for a, pods in of.items() if any(pod.node == self.node for pod in pods)))
            for family, of in self.claims.items()
        }

    @cached_property
    def isolated(self) -> Mapping[tuple[Direction, Family], tuple[int, ...]]:
        """By direction and family, the local addresses that are under a policy."""
        return {
            (direction, family): tuple(
                address
                for address in self.local[family]
                if any(self.governing(pod, direction) for pod in self.claims[family][address])
            )
            for direction in DIRECTIONS
            for family in FAMILIES
        }

    @cached_property
    def attached(self) -> Mapping[Family, Mapping[int, tuple[Link, ...]]]:
        """The interfaces of those who claim each local address, as far as any is known."""
        known = self.state.attachments.pods
        found: dict[Family, dict[int, tuple[Link, ...]]] = {4: {}, 6: {}}
        for family in FAMILIES:
            for address in self.local[family]:
                keys = (f"{pod.namespace}/{pod.name}" for pod in self.claims[family][address])
                links = ((known[key].interface, known[key].bridge) for key in keys if key in known)
                if attached := tuple(links):
                    found[family][address] = attached
        return found

    @cached_property
    def of_namespace(self) -> Mapping[str, tuple[NetworkPolicy, ...]]:
        """The policies of each namespace, in the order of their names."""
        found: dict[str, list[NetworkPolicy]] = {}
        for key in sorted(self.state.policies):
            policy = self.state.policies[key]
            found.setdefault(policy.namespace, []).append(policy)
        return {name: tuple(policies) for name, policies in found.items()}

    @cached_property
    def tiers(self) -> tuple[ClusterNetworkPolicy, ...]:
        """The ClusterNetworkPolicies that have a subject, in the order in which they are asked (CNP-012)."""
        having = (policy for policy in self.state.cluster_policies.values() if policy.subject is not None)
        return tuple(sorted(having, key=lambda policy: (policy.priority, policy.name)))

    def governing(self, pod: Pod, direction: Direction) -> Governing:
        """The policies that select a pod and say something of a direction."""
        key = (pod.namespace, pod.labels, direction)
        found = self._governing.get(key)
        if found is None:
            labels = dict(pod.labels)
            policies = self.of_namespace.get(pod.namespace, ())
            found = self._governing[key] = (
                *(p for p in policies if self.rules(p, direction) is not None and selects(p.pods, labels)),
                *(
                    policy
                    for policy in self.tiers
                    if self.tier_rules(policy, direction) is not None and self._is_subject(policy, pod)
                ),
            )
        return found

    def _is_subject(self, policy: ClusterNetworkPolicy, pod: Pod) -> bool:
        subject = policy.subject
        if subject is None or not selects(subject.pods, dict(pod.labels)):
            return False
        if means_every_namespace(subject) or subject.namespaces is None:
            return True
        return pod.namespace in self.namespaces(subject.namespaces)

    @cached_property
    def _labels(self) -> Mapping[str, Mapping[str, str]]:
        """The labels of the namespaces of which any are known (NP-040, NP-168)."""
        found = {name: dict(namespace.labels) for name, namespace in self.state.namespaces.items()}
        if self.state.missing_namespaces is MissingNamespaces.NAMED:
            for pod in self.state.pods.values():
                found.setdefault(pod.namespace, {_NAME: pod.namespace})
        return found

    def namespaces(self, selector: LabelSelector) -> tuple[str, ...]:
        """The namespaces that a selector matches."""
        found = self._matched.get(selector)
        if found is None:
            found = tuple(name for name, labels in self._labels.items() if selects(selector, labels))
            self._matched[selector] = found
        return found

    def addresses_of_nodes(self, selector: LabelSelector) -> Mapping[Family, frozenset[int]]:
        """The addresses of the nodes that a selector matches (CNP-025)."""
        nodes = self.state.nodes.values()
        return _addresses(node for node in nodes if selects(selector, dict(node.labels)))

    def rules(self, policy: NetworkPolicy, direction: Direction) -> tuple[PolicyRule, ...] | None:
        """The rules of a policy in a direction; None where it does not isolate."""
        found = policy.ingress if direction == "ingress" else policy.egress
        return () if found is not None and policy_key(policy) in self.closed else found

    def tier_rules(self, policy: ClusterNetworkPolicy, direction: Direction) -> tuple[TierRule, ...] | None:
        """The rules of a policy in a direction; None where it says nothing of it.

        Of one that is closed no rule counts as understood: Accept means nobody, the others deny (CNP-040).
        """
        found = policy.ingress if direction == "ingress" else policy.egress
        if found is None or policy_key(policy) not in self.closed:
            return found
        return tuple(
            TierRule("Accept", (), None, rule.name, rule.source)
            if rule.action == "Accept"
            else TierRule("Deny", None, None, rule.name, rule.source)
            for rule in found
        )

    def judging(self) -> Iterator[PolicyRule | TierRule]:
        """The rules of all policies that select a pod of this node."""
        found: dict[tuple[int, Direction], NetworkPolicy | ClusterNetworkPolicy] = {}
        for family in FAMILIES:
            for address in self.local[family]:
                for pod in self.claims[family][address]:
                    for direction in DIRECTIONS:
                        for policy in self.governing(pod, direction):
                            found[id(policy), direction] = policy
        for (_, direction), policy in found.items():
            if isinstance(policy, NetworkPolicy):
                yield from self.rules(policy, direction) or ()
            else:
                yield from self.tier_rules(policy, direction) or ()

    def blocks(self) -> Iterator[tuple[Family, Stretch]]:
        """The address ranges that rules name, and those that they except."""
        for rule in self.judging():
            for peer in rule.peers or ():
                if isinstance(peer, IPBlock) and peer.cidr is not None:
                    for cidr in (peer.cidr, *peer.excepts):
                        family: Family = 4 if cidr.family == 4 else 6
                        yield family, block(cidr.network, cidr.prefix, family)

    def ports(self) -> Iterator[Stretch]:
        """The ports that rules name by number, and all that pods have a name for."""
        for rule in self.judging():
            for port in rule.ports or ():
                if isinstance(port, PolicyPort) and isinstance(port.port, int):
                    yield port.port, port.end_port or port.port
        for pod in self.state.pods.values():
            yield from ((port.number, port.number) for port in pod.ports)


def means_every_namespace(peer: PodPeer) -> bool:
    """Whether a peer or subject of a tier means pods of all namespaces, also of unknown ones (CNP-020)."""
    return peer.namespaces is None or not peer.namespaces.requirements


def _addresses(nodes: Iterable[Node]) -> Mapping[Family, frozenset[int]]:
    found: dict[Family, set[int]] = {4: set(), 6: set()}
    for node in nodes:
        for text in node.addresses:
            address = ip_address(text)
            found[4 if address.version == 4 else 6].add(int(address))
    return {family: frozenset(of) for family, of in found.items()}


def policy_key(policy: NetworkPolicy | ClusterNetworkPolicy) -> str:
    """The policy's name as people write it."""
    return f"{policy.namespace}/{policy.name}" if isinstance(policy, NetworkPolicy) else policy.name
