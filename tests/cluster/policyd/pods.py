"""Pods of a test, and the way into their network: sockets of the test itself speak in a pod's place."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from policyd.lab.namespace import Namespace
from tests.cluster.client import Manifest
from tests.cluster.cluster import Cluster
from tests.cluster.failures import ClusterFailed
from tests.cluster.machine import Machine
from tests.cluster.node import Node

NETWORK_SECONDS = 60.0
PRIORITY = 500


class OpenedNamespace(Namespace):
    """A network namespace that somebody else has made, held open until `close`."""

    def __init__(self, label: str, path: str) -> None:
        """Open it where it is found now; `label` is what errors call it."""
        self.label = label
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._owner = os.getpid()


@contextmanager
def network_of(label: str, machine: Machine) -> Iterator[OpenedNamespace]:
    """Hold the network of a machine open, until the context ends; `label` is what errors call it."""
    with closing(OpenedNamespace(label, f"/proc/{machine.pid}/ns/net")) as opened:
        yield opened


@dataclass(frozen=True, slots=True)
class Place:
    """Where a pod shall run, with which labels; `ports` are named ports of TCP."""

    node: str
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod that runs."""

    namespace: str
    name: str
    addresses: tuple[str, ...]
    network: Namespace


class Pods:
    """Namespaces with pods in them, and the policies between; gone with the context."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._suffix = secrets.token_hex(3)
        self._names: dict[str, str] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        if self._names:  # what is in them ends later: nobody waits for it
            names = tuple(self._names.values())
            self._cluster.kubectl("delete", "namespace", "--wait=false", "--ignore-not-found", *names)

    def namespace(self, name: str, labels: Mapping[str, str] = {}) -> str:
        """Make a namespace, and give the name that it has in the cluster."""
        unique = self._names[name] = f"{name}-{self._suffix}"
        metadata = {"name": unique, "labels": dict(labels)}
        self._cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        return unique

    def start(self, namespace: str, places: Mapping[str, Place], image: str = "") -> dict[str, Pod]:
        """Start pods in a namespace of the cluster, and give them when they are ready."""
        image = image or self._cluster.agnhost
        self._cluster.apply(*(pod(name, namespace, place, image) for name, place in places.items()))
        self._cluster.wait(*(f"pod/{name}" for name in places), namespace=namespace)
        return {name: self.appears(place.node, namespace, name) for name, place in places.items()}

    def appears(self, node: str, namespace: str, name: str) -> Pod:
        """Give a pod as soon as it has its network, long before it is ready."""
        there = self._cluster.node(node)
        deadline = time.monotonic() + NETWORK_SECONDS
        while time.monotonic() < deadline:
            for network in networks(there):
                if (network.namespace, network.name) == (namespace, name):
                    opened = OpenedNamespace(f"{namespace}/{name}", str(network.path))
                    self._stack.callback(opened.close)
                    return Pod(namespace, name, network.addresses, opened)
            time.sleep(0.001)
        raise ClusterFailed(f"the pod {namespace}/{name} got no network within {NETWORK_SECONDS:g} s")


def pod(name: str, namespace: str, place: Place, image: str) -> Manifest:
    """Give the manifest of a pod that does nothing; what it serves and asks, a test does in its place."""
    ports = [{"name": port, "containerPort": number} for port, number in place.ports.items()]
    container = {"name": "pod", "image": image, "args": ["pause"], "ports": ports}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": dict(place.labels)},
        "spec": {"nodeName": place.node, "containers": [container], "terminationGracePeriodSeconds": 0},
    }


def policy(name: str, namespace: str, **spec: object) -> Manifest:
    """Give the manifest of a NetworkPolicy; without a `podSelector` it is for every pod."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"podSelector": {}, **spec},
    }


def cluster_policy(name: str, tier: str, subject: Manifest, **rules: object) -> Manifest:
    """Give the manifest of a ClusterNetworkPolicy; within a tier, those of one priority go by name."""
    return {
        "apiVersion": "policy.networking.k8s.io/v1beta1",
        "kind": "ClusterNetworkPolicy",
        "metadata": {"name": name},
        "spec": {"tier": tier, "priority": PRIORITY, "subject": subject, **rules},
    }


@dataclass(frozen=True, slots=True)
class PodNetwork:
    """What libcni keeps of a pod's network on its node."""

    namespace: str
    name: str
    path: Path
    addresses: tuple[str, ...]


def networks(node: Node) -> Iterator[PodNetwork]:
    """List the pods that have a network on a node."""
    for path in (node.path / "disk" / "cni" / "results").iterdir():
        try:
            result = json.loads(path.read_text())
        except (OSError, ValueError):
            continue  # just being written, or gone
        arguments = dict(result.get("cniArgs", ()))
        for sandbox in _sandboxes(result):
            inside = Path(f"/proc/{node.machine.pid}/root/run/netns") / Path(sandbox).name
            if not inside.exists():
                continue  # of before the node was restarted
            addresses = tuple(entry["address"].partition("/")[0] for entry in result["result"]["ips"])
            yield PodNetwork(
                arguments.get("K8S_POD_NAMESPACE", ""), arguments.get("K8S_POD_NAME", ""), inside, addresses
            )


def _sandboxes(result: Any) -> list[str]:
    if result.get("ifName") == "lo":
        return []
    interfaces = result.get("result", {}).get("interfaces", ())
    return [interface["sandbox"] for interface in interfaces if interface.get("sandbox")]
