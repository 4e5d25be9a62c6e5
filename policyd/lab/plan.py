"""What a lab is made of, as values: nodes, their pods, how these are connected. Pure.

Plans are written by programmers, so a mistake in one is a ValueError.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Routed:
    """Each pod on a veth of its own, with a host route for each address, as ptp, kindnet and Calico do."""


@dataclass(frozen=True, slots=True)
class Bridged:
    """All pods of the node on the bridge cni0, as Flannel does; the bridge has the pods' gateway addresses.

    Needs br_netfilter: without it a node sees no packet between its own pods.
    """

    gateways: tuple[str, ...]


Wiring: TypeAlias = Routed | Bridged


@dataclass(frozen=True, slots=True)
class PodPlan:
    """A pod, `namespace/name`, and its addresses: one or both families."""

    name: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NodePlan:
    """A node: its own addresses (both families), its pods, and how these are connected."""

    name: str
    addresses: tuple[str, ...]
    pods: tuple[PodPlan, ...] = ()
    wiring: Wiring = Routed()


def family(address: str) -> int:
    """4 or 6. Raises ValueError on what is no address."""
    return ip_address(address).version


def check_plans(nodes: tuple[NodePlan, ...], speaker: tuple[str, ...]) -> None:
    """Refuse what cannot be built. Raises ValueError."""
    if {family(a) for a in speaker} != {4, 6}:
        raise ValueError("the outside needs an address of each family to speak with")
    names = [node.name for node in nodes] + [pod.name for node in nodes for pod in node.pods]
    held = [*speaker, *(a for node in nodes for a in node.addresses)]
    held += [a for node in nodes for pod in node.pods for a in pod.addresses]
    for what, items in (("name", names), ("address", [str(ip_address(a)) for a in held])):
        twice = sorted({item for item in items if items.count(item) > 1})
        if twice:
            raise ValueError(f"one {what} is given to two: {', '.join(twice)}")
    for node in nodes:
        if {family(a) for a in node.addresses} != {4, 6}:
            raise ValueError(f"node {node.name} needs addresses of both families")
        if isinstance(node.wiring, Bridged) and {family(a) for a in node.wiring.gateways} != {4, 6}:
            raise ValueError(f"the bridge of node {node.name} needs a gateway of each family")
    if silent := [pod.name for node in nodes for pod in node.pods if not pod.addresses]:
        raise ValueError(f"pods without an address: {', '.join(silent)}")
