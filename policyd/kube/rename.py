"""Objects under other names: of namespaces, pods, policies, nodes, labels and ports. Pure.

Whatever is a name is given to a Renaming. So one that notes what it is given finds out which names there are,
and the same functions then give the other names.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol, assert_never

from policyd.kube.objects import (
    NAME_LABEL,
    ClusterNetworkPolicy,
    IPBlock,
    Labels,
    LabelSelector,
    Namespace,
    NetworkPolicy,
    Node,
    NodePeer,
    Owner,
    Peer,
    Pod,
    PodPeer,
    PolicyRule,
    PortName,
    Requirement,
    TierPeer,
    TierPort,
    TierRule,
)


class Renaming(Protocol):
    """From a name to the other one. `word` says what bears it, `within` the namespace in which that is."""

    def __call__(self, word: str, name: str, within: str = "", /) -> str: ...


def same_name(_word: str, name: str, _within: str = "") -> str:
    """The Renaming that changes nothing."""
    return name


def rename_namespace(item: Namespace, other: Renaming) -> Namespace:
    """A Namespace under other names."""
    return Namespace(other("ns", item.name), rename_labels(item.labels, other))


def rename_node(item: Node, other: Renaming) -> Node:
    """A Node under other names; its addresses stay."""
    return Node(other("node", item.name), rename_labels(item.labels, other), item.addresses)


def rename_pod(pod: Pod, other: Renaming) -> Pod:
    """A Pod under other names; its addresses and times stay."""
    return replace(
        pod,
        namespace=other("ns", pod.namespace),
        name=other("pod", pod.name, pod.namespace),
        uid=other("uid", pod.uid),
        labels=rename_labels(pod.labels, other),
        node=None if pod.node is None else other("node", pod.node),
        ports=tuple(replace(port, name=other("port", port.name)) for port in pod.ports),
        source=None,
        owners=tuple(rename_owner(owner, pod.namespace, other) for owner in pod.owners),
    )


def rename_owner(owner: Owner, namespace: str, other: Renaming) -> Owner:
    """An entry of ownerReferences under other names; the kind stays."""
    return replace(owner, name=other("workload", owner.name, namespace), uid=other("uid", owner.uid))


def rename_policy(policy: NetworkPolicy, other: Renaming) -> NetworkPolicy:
    """A NetworkPolicy under other names, with its rules."""
    return NetworkPolicy(
        other("ns", policy.namespace),
        other("policy", policy.name, policy.namespace),
        rename_selector(policy.pods, other),
        _rules(policy.ingress, other),
        _rules(policy.egress, other),
    )


def rename_cluster_policy(policy: ClusterNetworkPolicy, other: Renaming) -> ClusterNetworkPolicy:
    """A ClusterNetworkPolicy under other names, with its rules."""
    return replace(
        policy,
        name=other("policy", policy.name),
        subject=None if policy.subject is None else _pods(policy.subject, other),
        ingress=_tier_rules(policy.ingress, other),
        egress=_tier_rules(policy.egress, other),
        source=None,
    )


def rename_labels(labels: Labels, other: Renaming) -> Labels:
    """Labels under other names, sorted by these."""
    return tuple(sorted((_key(key, other), _value(key, value, other)) for key, value in labels))


def rename_selector(selector: LabelSelector, other: Renaming) -> LabelSelector:
    """A label selector under other names."""
    return LabelSelector(
        tuple(
            Requirement(_key(r.key, other), r.operator, tuple(_value(r.key, v, other) for v in r.values))
            for r in selector.requirements
        )
    )


def _key(key: str, other: Renaming) -> str:
    # The one key with a meaning: a server gives it to every namespace.
    return key if key == NAME_LABEL else other("key", key)


def _value(key: str, value: str, other: Renaming) -> str:
    return other("ns" if key == NAME_LABEL else "value", value)


def _rules(rules: tuple[PolicyRule, ...] | None, other: Renaming) -> tuple[PolicyRule, ...] | None:
    return None if rules is None else tuple(_rule(rule, other) for rule in rules)


def _rule(rule: PolicyRule, other: Renaming) -> PolicyRule:
    ports = rule.ports
    if ports is not None:
        ports = tuple(
            replace(port, port=other("port", port.port)) if isinstance(port.port, str) else port
            for port in ports
        )
    peers = None if rule.peers is None else tuple(_peer(peer, other) for peer in rule.peers)
    return PolicyRule(peers, ports)


def _peer(peer: Peer, other: Renaming) -> Peer:
    match peer:
        case PodPeer():
            return _pods(peer, other)
        case IPBlock():
            return peer
        case _:
            assert_never(peer)


def _pods(peer: PodPeer, other: Renaming) -> PodPeer:
    where = None if peer.namespaces is None else rename_selector(peer.namespaces, other)
    return PodPeer(where, rename_selector(peer.pods, other))


def _tier_rules(rules: tuple[TierRule, ...] | None, other: Renaming) -> tuple[TierRule, ...] | None:
    return None if rules is None else tuple(_tier_rule(rule, other) for rule in rules)


def _tier_rule(rule: TierRule, other: Renaming) -> TierRule:
    peers = None if rule.peers is None else tuple(_tier_peer(peer, other) for peer in rule.peers)
    ports = None if rule.ports is None else tuple(_tier_port(port, other) for port in rule.ports)
    return TierRule(rule.action, peers, ports, other("rule", rule.name) if rule.name else "")


def _tier_peer(peer: TierPeer, other: Renaming) -> TierPeer:
    return NodePeer(rename_selector(peer.nodes, other)) if isinstance(peer, NodePeer) else _peer(peer, other)


def _tier_port(port: TierPort, other: Renaming) -> TierPort:
    return PortName(other("port", port.name)) if isinstance(port, PortName) else port
