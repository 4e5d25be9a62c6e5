"""Policies as Istio's ambient mesh needs them: who may use a port of a pod may use the mesh's, too. Pure.

There a connection to any port of a pod is one to port 15008 on the network, and one to that port on `lo` of
the pod, where it is judged again (`policyd_compiler/for_pod.py`): nobody gains more than the way there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TypeVar, cast

from policyd.cluster.state import ClusterState
from policyd.kube.objects import (
    ClusterNetworkPolicy,
    KubeObject,
    LabelSelector,
    NetworkPolicy,
    PodPeer,
    PolicyPort,
    PolicyRule,
    PortName,
    TierRule,
)
from policyd.kube.registry import CLUSTER_NETWORK_POLICY, NETWORK_POLICY
from policyd_compiler.options import HBONE, Options

T = TypeVar("T", bound=KubeObject | None)

_MESH_PORT = PolicyPort("TCP", HBONE)
_EVERY_POD = PodPeer(LabelSelector(), LabelSelector())


def for_mesh(state: ClusterState, options: Options) -> ClusterState:
    """The cluster with its policies as the mesh needs them, where that is asked for."""
    if options.istio_ambient != "translate":
        return state
    by_kind = dict(state.by_kind)
    for kind in (NETWORK_POLICY.name, CLUSTER_NETWORK_POLICY.name):
        if kind in by_kind:
            by_kind[kind] = {key: with_mesh_port(item) for key, item in by_kind[kind].items()}
    return replace(state, by_kind=by_kind)


def meant(item: T, options: Options) -> T:
    """One object likewise."""
    if options.istio_ambient != "translate" or item is None:
        return item
    return cast(T, with_mesh_port(item))


def with_mesh_port(item: KubeObject) -> KubeObject:
    """A policy whose rules that allow TCP of pods allow them the mesh's port; any other object as it is.

    A block of addresses gets nothing: what is in no pod is in no mesh. Where a rule names blocks as well, or
    everybody, another rule is for the pods.
    """
    match item:
        case NetworkPolicy():
            return replace(item, ingress=_rules(item.ingress), egress=_rules(item.egress))
        case ClusterNetworkPolicy():
            return replace(item, ingress=_tier_rules(item.ingress), egress=_tier_rules(item.egress))
        case _:
            return item


def _rules(rules: tuple[PolicyRule, ...] | None) -> tuple[PolicyRule, ...] | None:
    """Rules that are added come last, so that the others keep their numbers."""
    if rules is None:
        return None
    kept: list[PolicyRule] = []
    added: list[PolicyRule] = []
    for rule in rules:
        if rule.ports is None or not any(port.protocol == "TCP" for port in rule.ports):
            kept.append(rule)
        elif rule.peers is not None and all(isinstance(peer, PodPeer) for peer in rule.peers):
            kept.append(replace(rule, ports=(*rule.ports, _MESH_PORT)))
        else:
            kept.append(rule)
            if pods := _pods(rule.peers):
                added.append(PolicyRule(pods, (_MESH_PORT,), rule.source))
    return (*kept, *dict.fromkeys(added))


def _tier_rules(rules: tuple[TierRule, ...] | None) -> tuple[TierRule, ...] | None:
    return None if rules is None else tuple(made for rule in rules for made in _tier_rule(rule))


def _tier_rule(rule: TierRule) -> Iterator[TierRule]:
    """A rule, and what goes with it directly behind, as their order counts. What is denied stays as it is."""
    if rule.action == "Deny" or rule.ports is None or not any(map(_may_be_tcp, rule.ports)):
        yield rule
    elif rule.peers is not None and all(isinstance(peer, PodPeer) for peer in rule.peers):
        yield replace(rule, ports=(*rule.ports, _MESH_PORT))
    else:
        yield rule
        if pods := _pods(rule.peers):
            yield replace(rule, peers=pods, ports=(_MESH_PORT,))


def _may_be_tcp(port: PolicyPort | PortName) -> bool:
    return isinstance(port, PortName) or port.protocol == "TCP"


def _pods(peers: tuple[object, ...] | None) -> tuple[PodPeer, ...]:
    if peers is None:
        return (_EVERY_POD,)
    return tuple(peer for peer in peers if isinstance(peer, PodPeer))
