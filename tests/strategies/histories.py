"""Histories of clusters: one event after another, of every kind, in the vocabulary of `worlds`."""

from __future__ import annotations

import random
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from policyd.cluster.attachments import UNKNOWN
from policyd.cluster.state import ClusterState, MissingNamespaces
from policyd.graph.changes import ObjectChange
from policyd.kube.decode import decode_live
from policyd.kube.objects import KubeObject
from tests.oracle import Manifest
from tests.strategies.attachments import attach_randomly
from tests.strategies.chooser import RandomChooser
from tests.strategies.clusters import LABELS, NAMESPACE_LABELS, NAMESPACES, Shape, another_pod, labels
from tests.strategies.policies import policy
from tests.strategies.tiers import NODE_LABELS, tier_policy
from tests.strategies.worlds import random_world

Kind: TypeAlias = Literal["remote pod", "local pod", "namespace", "policy", "tier", "node"]
NODE = "n1"
#: Clusters without conflicts, in which most changes are elements.
PLAIN = Shape(pods=40, least_pods=20, policies=10, least_policies=5, conflicts=False, open_rules=False)


@dataclass(frozen=True, slots=True)
class Event:
    """What happened last, and the cluster since."""

    kind: Kind
    state: ClusterState


def changed(old: ClusterState, new: ClusterState) -> list[ObjectChange]:
    """How two clusters differ."""
    found: list[ObjectChange] = []
    for kind in new.kinds:
        was, is_ = old.all(kind), new.all(kind)
        keys = sorted(was.keys() | is_.keys())
        pairs = (ObjectChange(key, was.get(key), is_.get(key)) for key in keys)
        found.extend(each for each in pairs if each.before != each.after)
    return found


def history(rng: random.Random, shape: Shape, missing: MissingNamespaces, events: int) -> Iterator[Event]:
    """A cluster, and what becomes of it; most events are about pods of other nodes.

    Without conflicts no two pods have one address, and every Namespace is known.
    """
    known = [] if shape.conflicts else [_namespace(rng, name) for name in NAMESPACES]
    world = {_key(manifest): manifest for manifest in (*known, *random_world(rng, shape))}
    decoded = {key: _decoded(manifest) for key, manifest in world.items()}

    links = attach_randomly(RandomChooser(rng), list(world.values()), NODE) if rng.random() < 0.3 else UNKNOWN

    def state() -> ClusterState:
        items = (item for item in decoded.values() if item is not None)
        return replace(ClusterState.of(items, missing), attachments=links)

    yield Event("node", state())
    for number in range(events):
        kind, changed = _event(rng, world, shape, number)
        for key, manifest in changed.items():
            world.pop(key, None)
            decoded.pop(key, None)
            if manifest is not None:
                world[key], decoded[key] = manifest, _decoded(manifest)
        yield Event(kind, state())


_Changed: TypeAlias = dict[tuple[str, str, str], Manifest | None]


def _event(
    rng: random.Random, world: dict[tuple[str, str, str], Manifest], shape: Shape, number: int
) -> tuple[Kind, _Changed]:
    kinds, weights = ["pod", "two pods", "namespace", "policy", "node"], [80, 10, 4, 5, 1]
    if shape.tiers:
        kinds, weights = [*kinds, "tier", "labels of a node"], [*weights, 5, 2]
    chosen = rng.choices(kinds, weights=weights)[0]
    if chosen == "namespace":
        made = _namespace(rng, rng.choice(NAMESPACES))
        return "namespace", {_key(made): None if shape.conflicts and rng.random() < 0.2 else made}
    if chosen == "policy" and any(key[0] == "Pod" for key in world):
        made = policy(RandomChooser(rng), f"np{rng.randrange(8)}", list(world.values()), shape)
        return "policy", {_key(made): made if rng.random() < 0.8 else None}
    if chosen == "tier":
        known, strange = list(world.values()), shape.strange_tiers
        made = tier_policy(RandomChooser(rng), f"cnp{rng.randrange(5)}", known, strange=strange)
        return "tier", {_key(made): made if rng.random() < 0.8 else None}
    nodes = sorted(key for key in world if key[0] == "Node")
    if chosen == "labels of a node":
        node = deepcopy(world[rng.choice(nodes)])
        node["metadata"]["labels"] = labels(RandomChooser(rng), NODE_LABELS)
        return "node", {_key(node): node}
    if chosen == "node":
        return "node", {rng.choice(nodes): None} if len(nodes) > 2 else {}
    changed: _Changed = {}
    for at in range(1 if chosen == "pod" else 2):
        changed |= _pod(rng, world, shape, 100 + 2 * number + at)
    pods = [m for key in changed for m in (world.get(key), changed[key]) if m is not None]
    local = any(pod["spec"].get("nodeName") == NODE for pod in pods)
    return "local pod" if local else "remote pod", changed


def _pod(
    rng: random.Random, world: dict[tuple[str, str, str], Manifest], shape: Shape, number: int
) -> _Changed:
    """A pod comes, goes, or is another: most often by its labels, now and then by all that it can be."""
    chooser = RandomChooser(rng)
    pods = sorted(key for key in world if key[0] == "Pod")
    nodes = [world[key] for key in sorted(world) if key[0] == "Node"]
    whats = ["new", "new", "gone", "labels", "labels", "address", "state", "ports"]
    what = rng.choice([*whats, "copy"] if shape.conflicts else whats)
    if what == "new" or not pods:
        made = another_pod(chooser, number, NAMESPACES[: rng.choice((2, 2, 3))], nodes)
        return {_key(made): made}
    key = rng.choice([k for k in pods if world[k]["spec"]["nodeName"] != NODE or rng.random() < 0.2] or pods)
    if what == "gone":
        return {key: None}
    pod = deepcopy(world[key])
    another = another_pod(chooser, number, (pod["metadata"]["namespace"],), nodes)
    match what:
        case "labels":
            pod["metadata"]["labels"] = labels(chooser, LABELS)
        case "address":
            pod["status"] = another["status"]
        case "state":
            pod["status"]["phase"] = rng.choice(("Running", "Pending", "Succeeded", "Failed"))
            pod["spec"]["hostNetwork"] = rng.random() < 0.2
        case "ports":
            pod["spec"]["containers"] = another["spec"]["containers"]
        case _:
            pod["status"] = deepcopy(world[rng.choice(pods)]["status"])
    return {key: pod}


def _namespace(rng: random.Random, name: str) -> Manifest:
    metadata = {"name": name, "labels": labels(RandomChooser(rng), NAMESPACE_LABELS)}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def _key(manifest: Manifest) -> tuple[str, str, str]:
    metadata = manifest["metadata"]
    return manifest["kind"], metadata.get("namespace", ""), metadata["name"]


def _decoded(manifest: Manifest) -> KubeObject | None:
    return decode_live(manifest).item
