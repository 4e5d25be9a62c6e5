"""Seeded clusters as raw manifests, named by scale: pods, policies, pods on the node under test.

The shape: 50 pods to a namespace (or as the scale says), one application label in ten; each policy selects
one application of its namespace, or, one in five, the whole namespace, and allows two peers on a few ports;
one in ten has an ipBlock with an except, one in ten names a port.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any

Manifest = dict[str, Any]

NODE = "node-0"


@dataclass(frozen=True, slots=True)
class Scale:
    """How large a cluster is; `local` pods run on NODE."""

    pods: int
    policies: int
    local: int
    per_namespace: int = 50

    @property
    def name(self) -> str:
        """As it stands in the tables."""
        return f"{self.pods} pods, {self.policies} policies, {self.local} local"


LARGE = Scale(pods=10_000, policies=1_000, local=100)


def cluster(scale: Scale, seed: int = 1) -> list[Manifest]:
    """All objects of a cluster of this scale; the same for the same seed."""
    rng, local = random.Random(seed), local_pods(scale)
    namespaces = max(1, scale.pods // scale.per_namespace)
    return [
        *({"apiVersion": "v1", "kind": "Namespace", "metadata": _namespace(i)} for i in range(namespaces)),
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}, "status": {"addresses": []}},
        *(_pod(i, namespaces, local=i in local) for i in range(scale.pods)),
        *(_policy(i, namespaces, rng) for i in range(scale.policies)),
    ]


def as_list(objects: list[Manifest]) -> bytes:
    """What `kubectl get -o json` prints."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}).encode()


def _namespace(i: int) -> Manifest:
    return {"name": f"ns-{i}", "labels": {"kubernetes.io/metadata.name": f"ns-{i}", "team": f"team-{i % 20}"}}


def local_pods(scale: Scale) -> frozenset[int]:
    """Choose the pods of NODE, which are spread over the namespaces as a scheduler spreads them."""
    return frozenset((0, *random.Random(2).sample(range(1, scale.pods), scale.local - 1)))


def addresses_of(i: int) -> tuple[str, str]:
    """The addresses of a pod of a cluster."""
    last = f"{i:x}" if i < 1 << 16 else f"{i >> 16:x}:{i & 0xFFFF:x}"
    return f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}", f"fd00:10::{last}"


def _pod(i: int, namespaces: int, *, local: bool) -> Manifest:
    addresses = [{"ip": address} for address in addresses_of(i)]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "namespace": f"ns-{i % namespaces}",
            "name": f"app-{i // namespaces % 10}-7d9c6b5f4-{i:05x}",
            "uid": f"00000000-0000-4000-8000-{i:012x}",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {
                "app": f"app-{i // namespaces % 10}",
                "pod-template-hash": "7d9c6b5f4",
                "tier": ("web", "api", "db")[i % 3],
            },
        },
        "spec": {
            "nodeName": NODE if local else f"node-{1 + i % 99}",
            "serviceAccountName": "default",
            "containers": [
                {
                    "name": "main",
                    "image": "registry.example/app:1.2.3",
                    "ports": [
                        {"name": "http", "containerPort": 8080, "protocol": "TCP"},
                        {"name": "metrics", "containerPort": 9090, "protocol": "TCP"},
                    ],
                    "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
                }
            ],
        },
        "status": {
            "phase": "Running",
            "podIP": addresses[0]["ip"],
            "podIPs": addresses,
            "startTime": "2026-01-01T00:00:00Z",
            "conditions": [{"type": t, "status": "True"} for t in ("Initialized", "Ready", "PodScheduled")],
        },
    }


def _policy(i: int, namespaces: int, rng: random.Random) -> Manifest:
    selector = {} if i % 5 == 0 else {"matchLabels": {"app": f"app-{rng.randrange(10)}"}}
    ports: list[Manifest] = [{"port": rng.choice((80, 443, 8080, 9090, 5432))}]
    if i % 10 == 3:
        ports.append({"port": "http"})
    peers: list[Manifest] = [
        {"podSelector": {"matchLabels": {"app": f"app-{rng.randrange(10)}"}}},
        {"namespaceSelector": {"matchLabels": {"team": f"team-{rng.randrange(20)}"}}},
    ]
    if i % 10 == 7:
        peers.append({"ipBlock": {"cidr": f"192.168.{rng.randrange(256)}.0/24", "except": []}})
        peers[-1]["ipBlock"]["except"] = [peers[-1]["ipBlock"]["cidr"].replace("0/24", "128/25")]
    spec: Manifest = {
        "podSelector": selector,
        "policyTypes": ["Ingress"],
        "ingress": [{"from": peers, "ports": ports}],
    }
    if i % 3 == 0:
        spec["policyTypes"].append("Egress")
        spec["egress"] = [{"to": peers[:2]}, {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53}]}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"namespace": f"ns-{i % namespaces}", "name": f"policy-{i}"},
        "spec": spec,
    }
