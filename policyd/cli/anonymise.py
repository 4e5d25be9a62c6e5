"""A cluster with other names: of namespaces, pods, policies, nodes, labels and ports. Pure.

Equal names stay equal, different ones different, and in the same order, so that policies select the same pods
and the ruleset has the same shape. Addresses and times stay: they decide what is compiled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import assert_never

from policyd.cluster.state import ClusterState
from policyd.kube.decode_place import NAME_LABEL
from policyd.kube.objects import (
    IPBlock,
    KubeObject,
    Labels,
    LabelSelector,
    Namespace,
    NetworkPolicy,
    Node,
    Peer,
    Pod,
    PodPeer,
    PolicyRule,
    Requirement,
)


def anonymise(state: ClusterState) -> ClusterState:
    """The same cluster under other names."""
    objects = tuple(state.objects())
    names = _names(objects)
    return ClusterState.of((names.rename(item) for item in objects), state.missing_namespaces)


@dataclass(frozen=True, slots=True)
class _Names:
    """From each name to its other name. Pods, by uid too, and policies are known by their keys."""

    namespaces: Mapping[str, str]
    nodes: Mapping[str, str]
    pods: Mapping[str, str]
    uids: Mapping[str, str]
    policies: Mapping[str, str]
    keys: Mapping[str, str]
    values: Mapping[str, str]
    ports: Mapping[str, str]

    def rename(self, item: KubeObject) -> KubeObject:
        match item:
            case Pod():
                return self._pod(item)
            case Namespace(name, labels):
                return Namespace(self.namespaces[name], self._labels(labels))
            case Node(name, labels, addresses):
                return Node(self.nodes[name], self._labels(labels), addresses)
            case NetworkPolicy():
                return NetworkPolicy(
                    self.namespaces[item.namespace],
                    self.policies[f"{item.namespace}/{item.name}"],
                    self._selector(item.pods),
                    self._rules(item.ingress),
                    self._rules(item.egress),
                )
            case _:
                assert_never(item)

    def _pod(self, pod: Pod) -> Pod:
        return replace(
            pod,
            namespace=self.namespaces[pod.namespace],
            name=self.pods[f"{pod.namespace}/{pod.name}"],
            uid=self.uids[pod.uid],
            labels=self._labels(pod.labels),
            node=None if pod.node is None else self.nodes[pod.node],
            ports=tuple(replace(port, name=self.ports[port.name]) for port in pod.ports),
            source=None,
        )

    def _value(self, key: str, value: str) -> str:
        return self.namespaces[value] if key == NAME_LABEL else self.values[value]

    def _labels(self, labels: Labels) -> Labels:
        return tuple(sorted((self.keys[key], self._value(key, value)) for key, value in labels))

    def _selector(self, selector: LabelSelector) -> LabelSelector:
        return LabelSelector(
            tuple(
                Requirement(self.keys[r.key], r.operator, tuple(self._value(r.key, v) for v in r.values))
                for r in selector.requirements
            )
        )

    def _rules(self, rules: tuple[PolicyRule, ...] | None) -> tuple[PolicyRule, ...] | None:
        return None if rules is None else tuple(self._rule(rule) for rule in rules)

    def _rule(self, rule: PolicyRule) -> PolicyRule:
        ports = rule.ports
        if ports is not None:
            ports = tuple(
                replace(port, port=self.ports[port.port]) if isinstance(port.port, str) else port
                for port in ports
            )
        peers = None if rule.peers is None else tuple(self._peer(peer) for peer in rule.peers)
        return PolicyRule(peers, ports)

    def _peer(self, peer: Peer) -> Peer:
        match peer:
            case PodPeer(namespaces, pods):
                where = None if namespaces is None else self._selector(namespaces)
                return PodPeer(where, self._selector(pods))
            case IPBlock():
                return peer
            case _:
                assert_never(peer)


def _names(objects: Iterable[KubeObject]) -> _Names:
    pods = [item for item in objects if isinstance(item, Pod)]
    policies = [item for item in objects if isinstance(item, NetworkPolicy)]
    requirements = [
        r for policy in policies for selector in _selectors(policy) for r in selector.requirements
    ]
    labels = [pair for item in objects if not isinstance(item, NetworkPolicy) for pair in item.labels]
    labels += [(r.key, value) for r in requirements for value in r.values]
    spaces = {item.name for item in objects if isinstance(item, Namespace)}
    spaces |= {pod.namespace for pod in pods} | {policy.namespace for policy in policies}
    spaces |= {value for key, value in labels if key == NAME_LABEL}
    nodes = {item.name for item in objects if isinstance(item, Node)} | {p.node for p in pods if p.node}
    rules = [rule for policy in policies for rule in (*(policy.ingress or ()), *(policy.egress or ()))]
    ports = {p.port for rule in rules for p in rule.ports or () if isinstance(p.port, str)}
    keys = {key for key, _ in labels} | {r.key for r in requirements}
    return _Names(
        _number("ns", spaces),
        _number("node", nodes),
        _number("pod", {f"{pod.namespace}/{pod.name}" for pod in pods}),
        _number("uid", {pod.uid for pod in pods}),
        _number("policy", {f"{policy.namespace}/{policy.name}" for policy in policies}),
        # The one key with a meaning: a server gives it to every namespace.
        {**_number("key", keys - {NAME_LABEL}), NAME_LABEL: NAME_LABEL},
        _number("value", {value for key, value in labels if key != NAME_LABEL}),
        _number("port", ports | {port.name for pod in pods for port in pod.ports}),
    )


def _selectors(policy: NetworkPolicy) -> Iterable[LabelSelector]:
    yield policy.pods
    for rule in (*(policy.ingress or ()), *(policy.egress or ())):
        for peer in rule.peers or ():
            if isinstance(peer, PodPeer):
                yield from (s for s in (peer.namespaces, peer.pods) if s is not None)


def _number(word: str, names: Iterable[str]) -> dict[str, str]:
    """Numbers of one width, so that they sort as the names do."""
    found = sorted(names)
    width = len(str(len(found)))
    return {name: f"{word}-{number:0{width}}" for number, name in enumerate(found, start=1)}
