"""What the demonstration shows: a small shop, its policies, and the edit that is made while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

NODE = "demo-node"
NODE_ADDRESSES = ("192.0.2.1", "2001:db8::1")
OUTSIDE = {4: "203.0.113.7", 6: "2001:db8:ffff::7"}


@dataclass(frozen=True, slots=True)
class Actor:
    """A pod of the scene: where it lives, its addresses, and what it serves."""

    namespace: str
    name: str
    v4: str
    v6: str
    ports: tuple[tuple[str, str, int], ...] = ()  # (name, protocol, number)

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"

    def address(self, family: int) -> str:
        """The pod's address of a family."""
        return self.v4 if family == 4 else self.v6


ACTORS = (
    Actor("shop", "web", "10.244.1.10", "fd00:10:244:1::10", (("http", "TCP", 8080),)),
    Actor(
        "shop", "api", "10.244.1.11", "fd00:10:244:1::11", (("http", "TCP", 9000), ("metrics", "TCP", 9100))
    ),
    Actor("shop", "db", "10.244.1.12", "fd00:10:244:1::12", (("sql", "TCP", 5432), ("gossip", "UDP", 7946))),
    Actor("ops", "prometheus", "10.244.1.20", "fd00:10:244:1::20"),
    Actor("guest", "shell", "10.244.1.30", "fd00:10:244:1::30"),
)

POLICIES = """\
# Nothing in the shop is reachable unless a policy below says so.
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: shop, name: default-deny}
spec:
  podSelector: {}
  policyTypes: [Ingress]
---
# Everybody may visit the web front, but not the outside network 203.0.113.0/24.
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: shop, name: web}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
  - from:
    - namespaceSelector: {}
    - ipBlock: {cidr: 0.0.0.0/0, except: [203.0.113.0/24]}
    ports: [{port: http}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: shop, name: api}
spec:
  podSelector: {matchLabels: {app: api}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}]
    ports: [{port: http}]
  - from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ops}}}]
    ports: [{port: metrics}]
---
# The database talks to nobody, and only the API talks to it.
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: shop, name: db}
spec:
  podSelector: {matchLabels: {app: db}}
  policyTypes: [Ingress, Egress]
  ingress:
  - from: [{podSelector: {matchLabels: {app: api}}}]
    ports: [{port: sql}, {protocol: UDP, port: 7946}]
"""

#: The file that is written while the demonstration runs.
EDIT = """\
# Written while connections are being made: guests may now reach the API, too.
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: shop, name: guests}
spec:
  podSelector: {matchLabels: {app: api}}
  ingress:
  - from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: guest}}}]
    ports: [{port: 9000}]
"""


def write_scene(directory: Path) -> None:
    """Write the scene's manifests as an operator would keep them: cluster objects, and policies."""
    with (directory / "cluster.yaml").open("w") as file:
        yaml.safe_dump_all(_cluster(), file, sort_keys=False)
    (directory / "policies.yaml").write_text(POLICIES)


def write_edit(directory: Path) -> None:
    """Add the policy of the second act, as an editor saves a file: whole, by a rename."""
    draft = directory / ".guests.yaml.tmp"
    draft.write_text(EDIT)
    draft.rename(directory / "guests.yaml")


def _cluster() -> list[dict[str, Any]]:
    namespaces = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        for name in sorted({actor.namespace for actor in ACTORS})
    ]
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": NODE},
        "status": {"addresses": [{"type": "InternalIP", "address": a} for a in NODE_ADDRESSES]},
    }
    return [*namespaces, node, *(_pod(actor) for actor in ACTORS)]


def _pod(actor: Actor) -> dict[str, Any]:
    ports = [
        {"name": name, "protocol": protocol, "containerPort": number}
        for name, protocol, number in actor.ports
    ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": actor.namespace, "name": actor.name, "labels": {"app": actor.name}},
        "spec": {"nodeName": NODE, "containers": [{"name": "main", "image": "demo", "ports": ports}]},
        "status": {"phase": "Running", "podIPs": [{"ip": actor.v4}, {"ip": actor.v6}]},
    }
