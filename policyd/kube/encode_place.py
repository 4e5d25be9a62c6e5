"""Namespace and Node → manifests, and what all manifests have in common. Pure."""

from __future__ import annotations

from typing import TypeAlias

from policyd.kube.objects import Labels, Namespace, Node
from policyd.kube.syntax import label_key_mistake, label_value_mistake

Manifest: TypeAlias = dict[str, object]


def encode_namespace(item: Namespace) -> Manifest:
    """The manifest of a Namespace."""
    return manifest("v1", "Namespace", _named(item.name, item.labels))


def encode_node(item: Node) -> Manifest:
    """The manifest of a Node."""
    found = [{"type": "InternalIP", "address": address} for address in item.addresses]
    return manifest("v1", "Node", _named(item.name, item.labels), status={"addresses": found})


def manifest(version: str, kind: str, metadata: Manifest, **parts: object) -> Manifest:
    """A manifest of these parts."""
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **parts}


def encode_labels(labels: Labels) -> dict[str, str]:
    """Labels as a mapping, those that a server takes."""
    return {k: v for k, v in labels if label_key_mistake(k) is None and label_value_mistake(v) is None}


def _named(name: str, labels: Labels) -> Manifest:
    return {"name": name, "labels": encode_labels(labels)}
