"""Objects → manifests that are read as the same objects again. Only what decides a verdict is in them. Pure.

So what an agent has read from its cluster can be compiled anywhere. Each kind's manifest: `encode_*.py`.
"""

from __future__ import annotations

from collections.abc import Iterable

from policyd.kube.kind import Kinds, Manifest
from policyd.kube.objects import KubeObject
from policyd.kube.registry import KINDS
from policyd.kube.rename import same_name


def encode(item: KubeObject, kinds: Kinds = KINDS) -> Manifest:
    """The manifest of one object."""
    return kinds.of(item).encode(item)


def encode_list(items: Iterable[KubeObject], kinds: Kinds = KINDS) -> Manifest:
    """Objects as one `kind: List`."""
    return {"apiVersion": "v1", "kind": "List", "items": [encode(item, kinds) for item in items]}


def without_source(item: KubeObject, kinds: Kinds = KINDS) -> KubeObject:
    """The object as if it came from an API server: written nowhere."""
    renamed: KubeObject = kinds.of(item).rename(item, same_name)
    return renamed
