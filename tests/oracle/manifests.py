"""What the oracle takes from raw manifests: who holds which address, and what the policies say.

Missing, null and [] are the same everywhere (semantics 1.1); `items` and `mapping` are that rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from tests.oracle.addresses import NOBODYS, Address, parse_address

Manifest: TypeAlias = dict[str, Any]  # as yaml.safe_load gives it
NAME_LABEL = "kubernetes.io/metadata.name"
TERMINAL = ("Succeeded", "Failed")
TIER_VERSIONS = ("policy.networking.k8s.io/v1beta1", "policy.networking.k8s.io/v1alpha2")


class Refused(ValueError):
    """The API server does not store such an object, so it has no verdict."""


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod that can hold addresses: not on the host's network, not terminal (NP-046)."""

    namespace: str
    name: str
    labels: Manifest
    node: str | None
    addresses: tuple[Address, ...]
    ports: tuple[tuple[str, str, int], ...]  # name, protocol, number

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Policy:
    """A NetworkPolicy; its spec stays raw, and is read again for each packet."""

    namespace: str
    name: str
    spec: Manifest

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class World:
    pods: tuple[Pod, ...]
    namespaces: dict[str, Manifest]  # name -> labels, for every namespace of which labels are known
    node_addresses: dict[str, frozenset[Address]]  # what packets of a node itself have, by its name
    of_nodes: frozenset[Address]  # what Node objects say
    policies: tuple[Policy, ...]
    nodes: dict[str, tuple[Manifest, frozenset[Address]]]  # labels and addresses, as Node objects say
    cluster_policies: tuple[Manifest, ...]

    def claimants(self, address: Address) -> tuple[Pod, ...]:
        """Name every pod that claims an address (NP-166); an impossible one is nobody's (NP-167)."""
        if address in self.of_nodes or any(block.holds(address) for block in NOBODYS):
            return ()
        return tuple(pod for pod in self.pods if address in pod.addresses)


def mapping(value: Any) -> Manifest:
    return value if isinstance(value, dict) else {}


def items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def read_world(objects: Iterable[Manifest], *, live: bool = False) -> World:
    """Read manifests as a file gives them, or, `live`, as an API server has told of them so far."""
    known = ("Namespace", "Node", "Pod", "NetworkPolicy", "ClusterNetworkPolicy")
    kinds: dict[str, list[Manifest]] = {kind: [] for kind in known}
    for manifest in expand(objects):
        kinds.setdefault(str(manifest.get("kind")), []).append(manifest)
    if any(m.get("apiVersion") not in TIER_VERSIONS for m in kinds["ClusterNetworkPolicy"]):
        raise Refused("ClusterNetworkPolicy is v1beta1, or v1alpha2")
    pods = tuple(_pod(manifest) for manifest in kinds["Pod"] if _can_hold_addresses(manifest))
    labels = {_name(m): mapping(mapping(m.get("metadata")).get("labels")) for m in kinds["Namespace"]}
    names = set(labels)
    if not live:
        # A Namespace that nobody gave has its name as its only label (NP-040). Live it may still come, with
        # any labels, so nothing is said of it (NP-168).
        names |= {pod.namespace for pod in pods}
    return World(
        pods=pods,
        namespaces={name: {**labels.get(name, {}), NAME_LABEL: name} for name in names},
        node_addresses=_node_addresses(kinds["Node"], kinds["Pod"]),
        of_nodes=frozenset().union(*_node_addresses(kinds["Node"], []).values()),
        policies=tuple(_policy(manifest) for manifest in kinds["NetworkPolicy"]),
        nodes={
            _name(m): (mapping(mapping(m.get("metadata")).get("labels")), addresses)
            for m in kinds["Node"]
            for addresses in [_node_addresses([m], []).get(_name(m), frozenset())]
        },
        cluster_policies=tuple(kinds["ClusterNetworkPolicy"]),
    )


def expand(objects: Iterable[Manifest]) -> Iterator[Manifest]:
    for manifest in objects:
        if str(manifest.get("kind")).endswith("List") and "items" in manifest:
            yield from expand(items(manifest["items"]))  # NP-011
        else:
            yield manifest


def _name(manifest: Manifest) -> str:
    return str(mapping(manifest.get("metadata")).get("name"))


def _namespace(manifest: Manifest) -> str:
    return str(mapping(manifest.get("metadata")).get("namespace") or "default")  # NP-011


def _can_hold_addresses(manifest: Manifest) -> bool:
    on_host = mapping(manifest.get("spec")).get("hostNetwork") is True
    return not on_host and mapping(manifest.get("status")).get("phase") not in TERMINAL


def _pod(manifest: Manifest) -> Pod:
    metadata, spec = mapping(manifest.get("metadata")), mapping(manifest.get("spec"))
    status = mapping(manifest.get("status"))
    return Pod(
        namespace=_namespace(manifest),
        name=_name(manifest),
        labels=mapping(metadata.get("labels")),
        node=spec.get("nodeName") or None,
        addresses=_pod_addresses(status),
        ports=tuple(_named_ports(spec)),
    )


def _pod_addresses(status: Manifest) -> tuple[Address, ...]:
    """Read podIPs, and podIP where that is all there is (NP-106)."""
    texts = [mapping(entry).get("ip") for entry in items(status.get("podIPs"))] or [status.get("podIP")]
    return tuple(address for text in texts if (address := parse_address(text)) is not None)


def _named_ports(spec: Manifest) -> Iterator[tuple[str, str, int]]:
    """List the ports of containers and of native sidecars, but not of plain init containers (NP-062)."""
    sidecars = [c for c in items(spec.get("initContainers")) if c.get("restartPolicy") == "Always"]
    for container in [*items(spec.get("containers")), *sidecars]:
        for port in items(container.get("ports")):
            if port.get("name"):
                yield port["name"], port.get("protocol") or "TCP", port["containerPort"]  # NP-064


def _node_addresses(nodes: list[Manifest], pods: list[Manifest]) -> dict[str, frozenset[Address]]:
    """Collect each node's own addresses, also from its host-network pods (NP-144)."""
    found: dict[str, set[Address]] = {}
    for node in nodes:
        for entry in items(mapping(node.get("status")).get("addresses")):
            if (address := parse_address(entry.get("address"))) is not None:
                found.setdefault(_name(node), set()).add(address)
    for pod in pods:
        spec, status = mapping(pod.get("spec")), mapping(pod.get("status"))
        if spec.get("hostNetwork") is True and spec.get("nodeName"):
            found.setdefault(spec["nodeName"], set()).update(_pod_addresses(status))
    return {name: frozenset(addresses) for name, addresses in found.items()}


def _policy(manifest: Manifest) -> Policy:
    if manifest.get("apiVersion") != "networking.k8s.io/v1":
        raise Refused(f"NetworkPolicy of {manifest.get('apiVersion')} (NP-010)")
    return Policy(_namespace(manifest), _name(manifest), mapping(manifest.get("spec")))
