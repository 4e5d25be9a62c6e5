"""What an agent has read can be written as manifests, which are taken and compile to the same bytes."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest
from hypothesis import given

from policyd.cluster.state import ClusterState
from policyd.kube.decode import decode_live
from policyd.kube.encode import encode_list, without_source
from policyd.kube.objects import KubeObject, NetworkPolicy
from policyd.manifests.load import load_manifest
from policyd.pipeline import build
from policyd_compiler.nft.printer import print_replace
from policyd_compiler.options import Options
from tests.cases.form import block, egress, ingress, namespace, namespaces, pod, pods, policy
from tests.cases.refused import LEGACY, REFUSED
from tests.oracle import Manifest
from tests.strategies.clusters import Shape
from tests.strategies.worlds import worlds


def stored(world: Iterable[Manifest]) -> ClusterState:
    """A cluster as an agent reads it from the API server."""
    decoded = (decode_live(raw).item for raw in world)
    return ClusterState.of(item for item in decoded if item is not None)


def written_and_read(state: ClusterState) -> ClusterState:
    text = json.dumps(encode_list(state.objects()))
    objects, diagnostics = load_manifest(text.encode(), "objects.json")
    assert diagnostics == ()
    return ClusterState.of(map(without_source, objects))


def ruleset(state: ClusterState) -> str:
    return print_replace(build(state, "n1", Options(pod_interfaces=("veth*",))).table)


@given(worlds(Shape(legacy_text=True)))
def test_objects_of_a_server_are_read_as_the_same_objects(world: list[Manifest]) -> None:
    state = stored(world)
    again = written_and_read(state)
    assert again == state
    assert ruleset(again) == ruleset(state)


def turned(raw: Manifest) -> Manifest:
    """The same policy for the other direction."""
    text = json.dumps(raw).replace('"ingress"', '"egress"').replace('"from"', '"to"')
    return json.loads(text.replace('"Ingress"', '"Egress"'))  # type: ignore[no-any-return]


POLICIES = {
    **REFUSED,
    **LEGACY,
    **{f"{name}-egress": turned(raw) for name, raw in {**REFUSED, **LEGACY}.items()},
}


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_that_fails_closed_does_so_again(name: str) -> None:
    """What the API server would refuse today it may have stored years ago."""
    others = [pod("x/a", "10.0.0.1", "fd00::1"), pod("x/b", "10.0.0.2"), namespace("x")]
    state = stored([*others, policy("x", name="other"), POLICIES[name]])
    assert len(state.policies) == 2
    assert ruleset(written_and_read(state)) == ruleset(state)


NONSENSE: list[Manifest] = [
    {**policy("x"), "spec": []},
    {**policy("x"), "spec": {"podSelector": []}},
    ingress("x", "a", {"from": 7}),
    ingress("x", "a", {"ports": [7]}, {"from": [pods(app="b")]}),
    egress("x", "a", {"ports": [7]}, {"to": [pods(app="b")]}),
    ingress("x", "a", {"from": [7], "ports": [{"port": 80}]}),
    ingress("x", "a", {"from": [block("10.0.0.0/8", "10.0.0.0/7"), namespaces(**{"bad key": "x"})]}),
    ingress("x", "a", {"from": [{"podSelector": {"matchExpressions": [
        {"key": "app", "operator": "NotIn", "values": ["bad value!", "b"]},
        {"key": "bad key", "operator": "DoesNotExist"},
    ]}}]}),
]  # fmt: skip


@pytest.mark.parametrize("raw", NONSENSE)
def test_nonsense_is_written_as_what_a_server_takes(raw: Manifest) -> None:
    state = stored([pod("x/a", "10.0.0.1"), pod("x/b", "10.0.0.2"), namespace("x"), raw])
    assert len(state.policies) == 1
    assert ruleset(written_and_read(state)) == ruleset(state)


def test_where_something_was_written_is_not_written() -> None:
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": [namespace("x"), ingress("x", "a", {})]})
    objects, _ = load_manifest(text.encode(), "f.json")
    assert all(item.source is not None for item in objects)
    assert "f.json" not in json.dumps(encode_list(objects))
    assert places(map(without_source, objects)) == []


def places(objects: Iterable[KubeObject]) -> list[object]:
    found: list[object] = []
    for item in objects:
        found.append(item.source)
        if isinstance(item, NetworkPolicy):
            found.extend(rule.source for rule in (*(item.ingress or ()), *(item.egress or ())))
    return [place for place in found if place is not None]
