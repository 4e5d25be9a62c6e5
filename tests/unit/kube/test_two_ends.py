"""What is written and what is stored mean the same, in YAML and in JSON, whatever the order of keys."""

from __future__ import annotations

import json

import yaml
from hypothesis import given
from hypothesis import strategies as st

from policyd.kube.decode import decode_live, decode_manifest
from policyd.kube.objects import KubeObject
from policyd.kube.reading import ReadingOptions
from policyd.kube.registry import POD
from policyd.manifests.load import load_manifest
from tests.oracle import Manifest
from tests.strategies.worlds import worlds


def decode_all(objects: list[Manifest]) -> list[KubeObject]:
    decoded = [decode_manifest(raw, ReadingOptions()) for raw in objects]
    assert not any(d.refused for d in decoded), decoded
    return [d.item for d in decoded if d.item is not None]


@given(worlds())
def test_both_ends_read_the_same(world: list[Manifest]) -> None:
    assert [decode_live(raw).item for raw in world] == decode_all(world)


def without_place(text: bytes) -> list[str]:
    objects, diagnostics = load_manifest(text, "f")
    assert not any(d.severity == "error" for d in diagnostics), diagnostics
    # Where something was written is all that may differ.
    return [repr(item).split("source=")[0] for item in objects]


@given(worlds(), st.sampled_from([None, 2]))
def test_json_lists_json_streams_and_yaml_read_the_same(world: list[Manifest], indent: int | None) -> None:
    whole = without_place(json.dumps({"apiVersion": "v1", "kind": "List", "items": world}).encode())
    stream = "".join(json.dumps(raw, indent=indent) for raw in world)
    # PyYAML writes neither `on` nor 010 without quotes, so the two readings of YAML agree on this text.
    documents = yaml.safe_dump_all(world, allow_unicode=True)
    assert without_place(stream.encode()) == whole
    assert without_place(documents.encode()) == whole
    assert len(whole) == len(world)


@given(worlds())
def test_an_item_of_a_typed_list_says_its_kind_by_the_list(world: list[Manifest]) -> None:
    pods = [raw for raw in world if raw["kind"] == "Pod"]
    bare = [{key: value for key, value in raw.items() if key not in ("apiVersion", "kind")} for raw in pods]
    text = json.dumps({"kind": "PodList", "apiVersion": "v1", "items": bare}).encode()
    assert without_place(text) == without_place("".join(map(json.dumps, pods)).encode())
    assert [decode_live(raw, POD).item for raw in bare] == decode_all(pods)
