"""A further kind is one more row: whoever reads, keeps, writes or renames objects has it from there."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from pathlib import Path

import pytest

from policyd.agent.sources.directory import DirectorySource
from policyd.cluster.anonymise import anonymise
from policyd.cluster.events import Delete, Event, Synced, Upsert
from policyd.cluster.state import ClusterState
from policyd.kube.decode import decode_live
from policyd.kube.encode import encode_list
from policyd.kube.kind import Kinds
from policyd.kube.registry import KINDS, NAMESPACE, NETWORK_POLICY, POD
from policyd.manifests.load import combine, load_manifest
from policyd.object_store import ObjectStore
from policyd.pipeline import build
from policyd_compiler.options import Options
from tests.cases.form import namespace, pod, policy
from tests.oracle import Manifest
from tests.support.waiting import eventually
from tests.support.widget import WIDGET, WITH_WIDGETS, Widget, manifest

WORLD: list[Manifest] = [
    pod("shop/web", "10.0.0.1"),
    manifest("large", 9),
    policy("shop"),
    namespace("shop"),
    manifest("little", 1),
]
WIDGETS = {"large": Widget("large", 9), "little": Widget("little", 1)}


def listed(*raws: Manifest) -> bytes:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": raws}).encode()


def state_of(text: bytes, kinds: Kinds = WITH_WIDGETS) -> ClusterState:
    objects, said = load_manifest(text, "x", kinds=kinds)
    assert said == ()
    return ClusterState.of(objects, kinds=kinds)


def test_it_is_read_kept_and_written() -> None:
    state = ClusterState.of(
        (item for raw in WORLD if (item := decode_live(raw, kinds=WITH_WIDGETS).item)), kinds=WITH_WIDGETS
    )
    assert state.all(WIDGET) == WIDGETS
    kinds = [type(item).__name__ for item in state.objects()]
    assert kinds == ["Namespace", "Widget", "Widget", "NetworkPolicy", "Pod"]
    written = encode_list(state.objects(), WITH_WIDGETS)
    again = state_of(json.dumps(written).encode())
    sizes = {key: widget.size for key, widget in again.all(WIDGET).items()}
    assert sizes == {"large": 9, "little": 1}


def test_of_others_it_is_no_concern() -> None:
    plain = state_of(listed(*WORLD), KINDS)
    assert [type(item).__name__ for item in plain.objects()] == ["Namespace", "NetworkPolicy", "Pod"]
    other = state_of(listed(*WORLD))
    assert build(other, "n1", Options()).table == build(plain, "n1", Options()).table


def test_its_mistakes_have_a_place() -> None:
    broken = {**manifest("large", 1), "spec": {"size": "9"}}
    objects, said = load_manifest(listed(broken), "x", kinds=WITH_WIDGETS)
    assert (objects, [d.text for d in said]) == ((), ["Widget large: spec.size: must be a number"])


def test_a_second_one_of_a_name_is_refused() -> None:
    objects, _ = load_manifest(listed(manifest("large", 1), manifest("large", 2)), "x", kinds=WITH_WIDGETS)
    (said,) = combine(objects, WITH_WIDGETS)
    assert said.text == "Widget large is given twice; the first is at x:1"


def test_it_gets_another_name() -> None:
    renamed = anonymise(state_of(listed(*WORLD)))
    assert renamed.all(WIDGET) == {"widget-1": Widget("widget-1", 9), "widget-2": Widget("widget-2", 1)}


def test_a_store_waits_for_it() -> None:
    store = ObjectStore("n1", asyncio.Event(), kinds=WITH_WIDGETS)
    store.apply([Upsert("large", WIDGETS["large"]), *(Synced(kind) for kind in KINDS.names)])
    waiting = [store.waiting_for]
    store.apply([Upsert("little", WIDGETS["little"]), Delete("Widget", "large"), Synced("Widget")])
    assert [*waiting, store.waiting_for] == [("Widget",), ()]
    assert store.state().all(WIDGET) == {"little": WIDGETS["little"]}


async def test_a_directory_says_it(tmp_path: Path) -> None:
    (tmp_path / "widgets.json").write_bytes(listed(*WORLD))
    events: list[Event] = []
    source = DirectorySource(tmp_path, events.extend, kinds=WITH_WIDGETS)
    task = asyncio.create_task(source.run())
    try:
        await eventually(lambda: Synced("Widget") in events)
    finally:
        task.cancel()
        await asyncio.wait([task])
    assert {known.kind: known.count for known in source.known()}["Widget"] == 2
    widgets = [event.item for event in events if isinstance(event, Upsert) and event.key in WIDGETS]
    assert sorted(item.name for item in widgets) == ["large", "little"]


def test_every_kind_has_a_row_and_a_class_of_its_own() -> None:
    twins = dataclasses.replace(POD, name="Pot"), dataclasses.replace(NETWORK_POLICY, name="Pod")
    for other in twins:
        with pytest.raises(ValueError, match="one row"):
            Kinds((POD, other))


def test_nothing_of_the_core_is_optional() -> None:
    with pytest.raises(ValueError, match="core"):
        Kinds((dataclasses.replace(NAMESPACE, optional=True),))
