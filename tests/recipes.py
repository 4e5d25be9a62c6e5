"""The recipes of docs/cluster-network-policy.md, and the cluster that the page describes."""

from __future__ import annotations

import re

import yaml

from tests.oracle import Manifest
from tests.support.sources import ROOT

PAGE = (ROOT / "docs" / "cluster-network-policy.md").read_text()
NODES = ("n1", "n2")
NAMESPACES = {
    "shop": {"team": "blue", "env": "prod"},
    "blog": {"team": "green", "env": "prod"},
    "lab": {"team": "red", "env": "dev"},
    "monitoring": {},
    "kube-system": {},
}
PODS: dict[str, dict[str, str]] = {
    "shop/web": {"app": "web"},
    "shop/db": {"app": "db"},
    "blog/web": {"app": "web"},
    "lab/tool": {"app": "tool"},
    "lab/suspect": {"app": "tool", "quarantine": "true"},
    "monitoring/prometheus": {"app": "prometheus"},
    "kube-system/dns": {"k8s-app": "kube-dns"},
}
_RECIPE = re.compile(r"^### (\d+)\. (.+?)$(.*?)(?=^##)", re.MULTILINE | re.DOTALL)
RECIPES = {int(number): (title, body) for number, title, body in _RECIPE.findall(PAGE)}


def world() -> list[Manifest]:
    """The cluster that the page describes."""
    objects: list[Manifest] = []
    for number, name in enumerate(NODES, start=1):
        role = {"node-role.kubernetes.io/control-plane": ""} if number == 1 else {}
        addresses = [f"192.0.2.{number}", f"2001:db8:1::{number}"]
        objects.append(
            {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": name, "labels": role},
                "status": {"addresses": [{"type": "InternalIP", "address": each} for each in addresses]},
            }
        )
    for name, labels in NAMESPACES.items():
        objects.append(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        )
    objects.extend(_pod(number, path, labels) for number, (path, labels) in enumerate(PODS.items()))
    return objects


def _pod(number: int, path: str, labels: dict[str, str]) -> Manifest:
    namespace, name = path.split("/")
    ports = [{"name": "metrics", "containerPort": 9090}] if path == "shop/web" else []
    addresses = [f"10.244.1.{10 + number}", f"fd00:10:244::{10 + number}"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": namespace, "name": name, "uid": path, "labels": labels},
        "spec": {"nodeName": NODES[number % 2], "containers": [{"name": "c", "ports": ports}]},
        "status": {
            "phase": "Running",
            "podIP": addresses[0],
            "podIPs": [{"ip": address} for address in addresses],
        },
    }


def policies_of(number: int) -> list[Manifest]:
    """What a recipe is written as."""
    _, body = RECIPES[number]
    [text] = re.findall(r"^```yaml\n(.*?)^```$", body, re.MULTILINE | re.DOTALL)
    return list(yaml.safe_load_all(text))
