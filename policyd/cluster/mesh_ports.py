"""Which policies mean something else than is written, on pods of Istio's ambient mesh. Pure.

With `istio_ambient: strict` policies are about what is on the network, where every connection between pods of
the mesh is one to port 15008, whatever port is meant: the ports that a policy names say nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from policyd.cluster.state import ClusterState
from policyd.kube.objects import Labels, LabelSelector, Pod, PodPeer, PolicyPort, PortName
from policyd.kube.selectors import matches
from policyd_compiler.options import HBONE

#: What says of a namespace, or of a pod with more weight, that it is to be in the mesh.
MODE, AMBIENT = "istio.io/dataplane-mode", "ambient"
#: What the injector gives to pods with a sidecar, which the mesh leaves alone.
SIDECAR = "security.istio.io/tlsMode"

#: closed: nobody of the mesh gets through, as 15008 is not allowed. open: whoever may use 15008 may use every
#: port. passed: what is denied of the mesh is not, as it is not 15008.
How: TypeAlias = Literal["closed", "open", "passed"]
Direction: TypeAlias = Literal["ingress", "egress"]
#: A rule: whether it allows, its peers, its ports.
_Rule: TypeAlias = tuple[bool, tuple[object, ...] | None, tuple[PolicyPort | PortName, ...] | None]


@dataclass(frozen=True, slots=True)
class OffPort:
    """A policy, and what becomes in one direction of the ports that it names."""

    policy: str
    direction: Direction
    how: How


def mesh_pods(state: ClusterState, node: str) -> tuple[Pod, ...]:
    """The pods of a node that are in the mesh, by their labels and their namespace's."""
    modes = {name: dict(each.labels).get(MODE) for name, each in state.namespaces.items()}
    return tuple(
        pod
        for pod in state.pods.values()
        if pod.node == node and not pod.host_network and not pod.terminal and _is_member(pod, modes)
    )


def _is_member(pod: Pod, modes: Mapping[str, str | None]) -> bool:
    labels = dict(pod.labels)
    return labels.get(MODE, modes.get(pod.namespace)) == AMBIENT and SIDECAR not in labels


def off_port(state: ClusterState, node: str) -> tuple[OffPort, ...]:
    """The policies of a node's pods of the mesh whose ports mean something else there, sorted."""
    labels: dict[str, set[Labels]] = {}  # of the pods of the mesh, by namespace
    for pod in mesh_pods(state, node):
        labels.setdefault(pod.namespace, set()).add(pod.labels)
    found = {
        OffPort(key, direction, how)
        for key, direction, rules in _selecting(state, labels)
        for rule in rules
        if (how := _how(*rule)) is not None
    }
    return tuple(sorted(found, key=lambda each: (each.policy, each.direction, each.how)))


def _selecting(
    state: ClusterState, labels: Mapping[str, set[Labels]]
) -> Iterator[tuple[str, Direction, Iterable[_Rule]]]:
    """The rules of each policy that selects a pod with such labels, by direction."""
    for key, policy in state.policies.items():
        if _selects_any(policy.pods, labels.get(policy.namespace, set())):
            yield key, "ingress", ((True, r.peers, r.ports) for r in policy.ingress or ())
            yield key, "egress", ((True, r.peers, r.ports) for r in policy.egress or ())
    for key, tier in state.cluster_policies.items() if labels else ():
        if tier.subject is not None and _is_about(tier.subject, state, labels):
            yield key, "ingress", ((r.action != "Deny", r.peers, r.ports) for r in tier.ingress or ())
            yield key, "egress", ((r.action != "Deny", r.peers, r.ports) for r in tier.egress or ())


def _is_about(subject: PodPeer, state: ClusterState, labels: Mapping[str, set[Labels]]) -> bool:
    spaces = subject.namespaces or LabelSelector()
    return any(
        matches(spaces, dict(state.namespaces[name].labels)) and _selects_any(subject.pods, found)
        for name, found in labels.items()
        if name in state.namespaces
    )


def _selects_any(selector: LabelSelector, labels: set[Labels]) -> bool:
    return any(matches(selector, dict(each)) for each in labels)


def _how(
    allows: bool,  # noqa: FBT001 what the rule does, as one of its parts
    peers: tuple[object, ...] | None,
    ports: tuple[PolicyPort | PortName, ...] | None,
) -> How | None:
    """What becomes of the ports of a rule; None where they mean what they say, or there are none."""
    if peers is not None and not any(isinstance(peer, PodPeer) for peer in peers):
        return None  # blocks and nodes are in no mesh
    named = [p for p in ports or () if isinstance(p, PortName) or p.protocol == "TCP"]
    if not named or any(isinstance(p, PolicyPort) and p.port is None for p in named):
        return None
    if any(_covers_mesh(port) for port in named):
        return "open" if allows else "closed"
    return "closed" if allows else "passed"


def _covers_mesh(port: PolicyPort | PortName) -> bool:
    """Whether the mesh's port is one of these. A name may be its name: who gives it that one means it."""
    if isinstance(port, PortName) or not isinstance(port.port, int):
        return False
    return port.port <= HBONE <= (port.end_port or port.port)
