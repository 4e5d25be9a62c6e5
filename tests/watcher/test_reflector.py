"""What the reflector makes of a healthy server: on the emulator, and with `-m cluster` on a real one."""

from __future__ import annotations

import gc

import pytest

from policyd.cluster.events import Delete, Synced, Upsert
from policyd.kube.objects import Namespace, Pod
from policyd.watcher import reflector, resource
from policyd.watcher.resource import watch_query
from tests.watcher.conftest import Serve
from tests.watcher.emulator import NAMESPACES, NODES, PODS, POLICIES
from tests.watcher.history import Raw
from tests.watcher.objects import namespace, node, pod, policy
from tests.watcher.scene import scene
from tests.watcher.server import Server

DENY: Raw = {"podSelector": {}, "policyTypes": ["Ingress"]}


async def knows_all(server: Server, path: str, kind: str) -> None:
    async with scene(server.access, kind) as at_work:
        await at_work.synced()
        await at_work.knows(await server.objects(path))


@pytest.mark.parametrize(
    ("kind", "path", "raws"),
    [
        ("Pod", PODS, [pod("a", ips=["10.0.0.1", "fd00::1"]), pod("b")]),
        ("Namespace", NAMESPACES, [namespace("blue", team="blue"), namespace("red")]),
        ("Node", NODES, [node("n1", "192.0.2.1", "2001:db8::1")]),
        ("NetworkPolicy", POLICIES, [policy("deny", DENY)]),
    ],
)
async def test_every_kind_is_listed_as_it_is(serve: Serve, kind: str, path: str, raws: list[Raw]) -> None:
    async with serve() as server:
        await server.put(path, *raws)
        await knows_all(server, path, kind)


async def test_synced_comes_once_and_after_the_whole_list(serve: Serve) -> None:
    async with serve() as server:
        await server.put(PODS, pod("a"), pod("b"))
        async with scene(server.access, "Pod") as at_work:
            await at_work.synced()
            first, *_ = at_work.recorder.batches
            assert first[-1] == Synced("Pod")
            assert {event.key for event in first[:-1] if isinstance(event, Upsert)} >= {"shop/a", "shop/b"}
            at_work.reflector._version = ""  # as after a 410
            await server.put(PODS, pod("a", labels={"v": "2"}))
            await at_work.knows(await server.objects(PODS))
            assert [event for event in at_work.recorder.events if isinstance(event, Synced)] == [
                Synced("Pod")
            ]


async def test_what_a_list_said_is_held_by_nobody_while_the_watch_goes_on(serve: Serve) -> None:
    """That is as much as all objects, for as long as nothing else is heard."""
    async with serve() as server:
        await server.put(PODS, pod("held-by-nobody"))
        async with scene(server.access, "Pod") as at_work:
            await at_work.synced()
            at_work.recorder.batches.clear()
            held = [each for each in gc.get_objects() if isinstance(each, Upsert)]
            assert "shop/held-by-nobody" not in {event.key for event in held}
            assert "shop/held-by-nobody" in at_work.reflector.objects


async def test_changes_come_as_they_happen(serve: Serve) -> None:
    async with serve() as server:
        await server.put(PODS, pod("web"))
        async with scene(server.access, "Pod") as at_work:
            await at_work.synced()
            await server.put(PODS, pod("web", ips=["10.0.0.1"]))
            await at_work.knows(await server.objects(PODS))
            await server.put(PODS, pod("web", labels={"tier": "front"}, ips=["10.0.0.1"]), pod("later"))
            await at_work.knows(await server.objects(PODS))
            await server.delete(PODS, "shop/web")
            await at_work.knows(await server.objects(PODS))
            assert Delete("Pod", "shop/web") in at_work.recorder.events


async def test_a_change_of_what_is_not_used_wakes_nobody(serve: Serve) -> None:
    async with serve() as server:
        await server.put(PODS, pod("web", ips=["10.0.0.1"]))
        async with scene(server.access, "Pod") as at_work:
            await at_work.synced()
            before = len(at_work.recorder.batches)
            await server.put(PODS, pod("web", ips=["10.0.0.1"], annotations={"seen": "now"}))
            await server.put(PODS, pod("last"))
            await at_work.until(lambda: "shop/last" in at_work.reflector.objects)
            told = [event for batch in at_work.recorder.batches[before:] for event in batch]
            assert {event.key for event in told if isinstance(event, Upsert)} == {"shop/last"}


async def test_an_object_replaced_under_its_name_is_another(serve: Serve) -> None:
    async with serve() as server:
        await server.put(PODS, pod("db-0", ips=["10.0.0.1"]))
        async with scene(server.access, "Pod") as at_work:
            await at_work.synced()
            old = at_work.reflector.objects["shop/db-0"]
            await server.delete(PODS, "shop/db-0")
            await server.put(PODS, pod("db-0", ips=["10.0.0.2"]))
            await at_work.knows(await server.objects(PODS))
            new = at_work.reflector.objects["shop/db-0"]
            assert isinstance(old, Pod)
            assert isinstance(new, Pod)
            assert old.uid != new.uid


async def test_of_namespaces_only_the_metadata_is_asked_for(serve: Serve) -> None:
    """Also through the streamed list, whose end is a bookmark that has to survive the conversion."""
    async with serve() as server:
        await server.put(NAMESPACES, namespace("blue", team="blue"))
        async with scene(server.access, "Namespace") as at_work:
            await at_work.synced()
            await server.put(NAMESPACES, namespace("blue", team="red"))
            await at_work.knows(await server.objects(NAMESPACES))
            labels = (("kubernetes.io/metadata.name", "blue"), ("team", "red"))
            assert at_work.reflector.objects["blue"] == Namespace("blue", labels)
            assert at_work.reflector.status().restarts == {}


async def test_a_paged_list_is_as_good_as_a_streamed_one(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "PAGE", 2)
    async with serve() as server:
        await server.put(PODS, *(pod(f"p{number}") for number in range(5)))
        async with scene(server.access, "Pod") as at_work:
            at_work.reflector._streaming = False
            await at_work.synced()
            await at_work.knows(await server.objects(PODS))
            await server.put(PODS, pod("later"))
            await at_work.knows(await server.objects(PODS))
            assert at_work.reflector.status().restarts == {}


async def test_a_refused_parameter_is_no_reason_to_give_up(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that cannot stream lists says 422, as every server does of parameters that do not fit."""
    refused = (("watch", "true"), ("sendInitialEvents", "true"))
    monkeypatch.setattr(
        reflector,
        "watch_query",
        lambda version, seconds: watch_query(version, seconds) if version else refused,
    )
    async with serve() as server:
        await server.put(PODS, pod("a"))
        async with scene(server.access, "Pod") as at_work:
            await at_work.synced()
            await at_work.knows(await server.objects(PODS))
            assert at_work.reflector.status().restarts == {"unsupported": 1}
            assert at_work.recorder.pauses == []
