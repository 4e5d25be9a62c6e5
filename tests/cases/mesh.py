"""A namespace of Istio's ambient mesh, or not, and policies in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from policyd.cluster.mesh_ports import AMBIENT, MODE
from policyd.cluster.state import ClusterState
from policyd.manifests.load import load_manifest
from tests.cases.form import namespace, pod
from tests.oracle import Manifest

MEMBER: Final = {MODE: AMBIENT}
NOTHING: Final[Mapping[str, str]] = {}


def labelled(manifest: Manifest, labels: Mapping[str, str]) -> Manifest:
    made: Manifest = json.loads(json.dumps(manifest))
    made["metadata"].setdefault("labels", {}).update(labels)
    return made


def state_of(
    *policies: Manifest, spaces: Mapping[str, str] = MEMBER, web: Mapping[str, str] = NOTHING
) -> ClusterState:
    """A namespace with these labels, and in it `web` with these, on n1; `far` is on another node."""
    world = (
        labelled(namespace("x"), spaces),
        labelled(pod("x/web", "10.0.0.1", node="n1"), web),
        pod("x/far", "10.0.0.2", node="n2"),
        *policies,
    )
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": world})
    loaded, found = load_manifest(text.encode(), "world.json")
    assert not [str(each) for each in found if each.severity == "error"]
    return ClusterState.of(loaded)
