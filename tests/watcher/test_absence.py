"""A kind that a server need not have: nobody waits for it, and nothing is forgotten on a doubt."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from http import HTTPStatus
from typing import TypeAlias

import pytest

from policyd.agent.reporting.conditions import Condition, of_watches
from policyd.agent.sources.api_server import LiveSource
from policyd.cluster.events import Delete, Event, Synced
from policyd.config import load_settings
from policyd.doctor.api_line import api_line
from policyd.kube.kind import Kinds
from policyd.kube.registry import CLUSTER_NETWORK_POLICY, KINDS
from policyd.object_store import ObjectStore
from policyd.watcher.absence import CONFIRM, Absence
from policyd.watcher.discovery import served_version
from policyd.watcher.failure import WatchError
from policyd.watcher.resource import Query
from policyd.watcher.transport import Answer, connect
from tests.cases.tiers import rule, tier
from tests.support.waiting import eventually
from tests.support.widget import WIDGET, WITH_WIDGETS, Widget, manifest
from tests.watcher import replies
from tests.watcher.conftest import Serve
from tests.watcher.emulator import KINDS as PATHS
from tests.watcher.emulator import PODS, Emulator
from tests.watcher.scene import Scene, replay, scene
from tests.watcher.server import Server, emulated, path_of

V1, V2 = WIDGET.path, path_of(WIDGET, "v2")
WIDGETS = {"large": Widget("large", 9), "little": Widget("little", 1)}


def synced(working: Scene) -> list[Event]:
    return [event for event in working.recorder.events if isinstance(event, Synced)]


@asynccontextmanager
async def following(serve: Serve, *versions: str) -> AsyncIterator[tuple[Server, Scene]]:
    """A server, with the kind in these versions and two objects, and a reflector that follows it."""
    async with serve() as server:
        try:
            if versions:
                await server.serve(WIDGET, "v1")
                await server.put(V1, manifest("large", 9), manifest("little", 1))
                await server.serve(WIDGET, *versions)
            async with scene(server.access, "Widget", kinds=WITH_WIDGETS) as working:
                yield server, working
        finally:
            await server.serve(WIDGET, "v1")  # there is one, whatever happened before
            await server.uninstall(WIDGET)


async def absent(working: Scene) -> None:
    await working.until(lambda: working.reflector.status().absent)


async def test_a_kind_that_is_absent_counts_as_empty_until_it_is_installed(serve: Serve) -> None:
    async with following(serve) as (server, working):
        await working.synced()
        status = working.reflector.status()
        assert (status.absent, status.trouble, status.restarts) == (True, None, {})
        assert of_watches((status,)) == ()
        await server.serve(WIDGET, "v1")
        await server.put(V1, manifest("large", 9), manifest("little", 1))
        await working.knows(await server.objects(V1))
        assert not working.reflector.status().absent
        await server.put(V1, manifest("large", 10))
        await working.knows({**WIDGETS, "large": Widget("large", 10)})
        assert synced(working) == [Synced("Widget")]


async def test_its_objects_are_forgotten_when_its_absence_is_confirmed_and_not_before(serve: Serve) -> None:
    """CNP-049."""
    async with following(serve, "v1") as (server, working):
        await working.knows(dict(WIDGETS))
        await server.serve(WIDGET)
        status = working.reflector.status
        await working.until(lambda: status().restarts.get("missing", 0) >= 3 or status().absent)
        assert replay(working.recorder.events) == WIDGETS
        [condition] = of_watches((status(),))
        assert "what was there counts until it is confirmed" in condition.text
        working.clock[0] += CONFIRM
        await absent(working)
        await working.knows({})
        await server.serve(WIDGET, "v1")
        await working.knows(dict(WIDGETS))
        assert synced(working) == [Synced("Widget")]


async def test_a_definition_that_is_deleted_takes_its_objects_with_it(serve: Serve) -> None:
    async with following(serve, "v1") as (server, working):
        await working.knows(dict(WIDGETS))
        await server.uninstall(WIDGET)
        await absent(working)
        await working.knows({})


async def test_what_is_served_only_in_another_version_is_neither_empty_nor_waited_for(serve: Serve) -> None:
    async with following(serve, "v2") as (server, working):
        await working.until(lambda: bool(working.recorder.pauses))
        status = working.reflector.status()
        assert (status.synced, status.absent) == (True, False)
        text = f"Widget: the API server has it only as {WIDGET.group}/v2, and {WIDGET.version} is read here"
        assert of_watches((status,)) == (Condition("watch-failing", text, degraded=True),)
        await server.serve(WIDGET, "v1", "v2")
        await working.knows(dict(WIDGETS))
        await server.serve(WIDGET, "v2")
        before = working.reflector.status().restarts["unread"]
        working.clock[0] += CONFIRM
        await working.restarted("unread", before + 2)
        await working.knows(dict(WIDGETS))
        assert synced(working) == [Synced("Widget")]


async def test_discovery_says_what_there_is(serve: Serve) -> None:
    """The emulator's answers are the server's."""
    async with following(serve) as (server, working):
        asked = ["/apis", f"/apis/{WIDGET.version}", V1]
        (groups, *_), *refused = [await ask(working, path) for path in asked]
        assert (groups, refused) == (HTTPStatus.OK, [(404, b"404 page not found\n")] * 2)
        assert await served_version(working.connection, WIDGET) is None
        await server.serve(WIDGET, "v2")
        assert await ask(working, V1) == (404, b"404 page not found\n")
        assert await served_version(working.connection, WIDGET) == f"{WIDGET.group}/v2"
        await server.serve(WIDGET, "v1", "v2")
        assert await served_version(working.connection, WIDGET) == WIDGET.version
        _, listed = await ask(working, "/apis")
        [group] = [group for group in json.loads(listed)["groups"] if group["name"] == WIDGET.group]
        assert {version["groupVersion"] for version in group["versions"]} == {
            WIDGET.version,
            f"{WIDGET.group}/v2",
        }


async def ask(working: Scene, path: str) -> tuple[int, bytes]:
    async with working.connection.get(path, (), "application/json", 30.0) as answer:
        return answer.status, b"".join([chunk async for chunk in answer.chunks])


async def test_who_may_not_list_what_is_absent_waits_for_nothing() -> None:
    """RBAC refuses before anybody looks whether there is such a kind."""
    emulator = Emulator(kinds={**PATHS, V1: "Widget"}, forbidden={V1}, missing={V1})
    async with (
        emulated(emulator) as server,
        scene(server.access, "Widget", kinds=WITH_WIDGETS) as working,
    ):
        await absent(working)
        emulator.missing.clear()
        await working.restarted("forbidden", 2)
        assert working.reflector.status().forbidden
        assert not working.reflector.status().absent


async def test_who_may_not_list_what_there_is_is_waited_for_a_moment_and_no_longer() -> None:
    """A ClusterRole that is older than the kind: NetworkPolicies are enforced, and a condition says so."""
    emulator = Emulator(kinds={**PATHS, V1: "Widget"}, forbidden={V1})
    async with (
        emulated(emulator) as server,
        scene(server.access, "Widget", kinds=WITH_WIDGETS) as working,
    ):
        await working.restarted("forbidden", 3)
        assert not working.reflector.status().synced
        working.clock[0] += CONFIRM
        await working.until(lambda: working.reflector.status().synced)
        assert working.reflector.status().forbidden
        [condition] = of_watches((working.reflector.status(),))
        assert condition.degraded


async def test_an_older_version_is_read_where_a_server_has_no_newer_one() -> None:
    """The server moves on to the newer one, or back, and not an object is forgotten."""
    either = replace(WIDGET, older=(f"{WIDGET.group}/v2",))
    kinds = Kinds((*KINDS, either))
    async with emulated() as server:
        for path in (V1, V2):
            server.emulator.kinds[path] = "Widget"
            await server.put(path, manifest("large", 9), manifest("little", 1))
        await server.serve(WIDGET, "v2")
        async with scene(server.access, "Widget", kinds=kinds) as working:
            await working.knows(dict(WIDGETS))
            assert of_watches((working.reflector.status(),)) == ()
            for size, versions in enumerate((("v1", "v2"), ("v1",), ("v2",), ("v1",))):
                await server.serve(WIDGET, *versions)
                for path in (V1, V2):
                    await server.put(path, manifest("large", size))
                await working.knows({**WIDGETS, "large": Widget("large", size)})
            assert synced(working) == [Synced("Widget")]
            assert [event for event in working.recorder.events if isinstance(event, Delete)] == []


async def test_a_policy_that_is_not_understood_closes_and_is_reported() -> None:
    """CNP-040, CNP-044"""
    path = CLUSTER_NETWORK_POLICY.path
    emulator = Emulator(kinds={**PATHS, path: "ClusterNetworkPolicy"})
    peers: dict[str, list[dict[str, object]]] = {
        "good": [{"namespaces": {}}],
        "names": [{"domainNames": ["example.com"]}],
        "newer": [{}],
    }
    async with emulated(emulator) as server, scene(server.access, "ClusterNetworkPolicy") as working:
        for name, to in peers.items():
            await server.put(path, tier(name, egress=[rule("Deny", *to, side="to")]))
        await working.until(lambda: len(working.reflector.objects) == 3)
        status = working.reflector.status()
        assert status.closed == ("names", "newer")
        [condition] = of_watches((status,))
        assert (condition.name, condition.degraded) == ("policy-unread", False)
        assert "ClusterNetworkPolicy names, newer" in condition.text
        await server.put(path, tier("names"), tier("newer"))
        await working.until(lambda: working.reflector.status().closed == ())
        assert of_watches((working.reflector.status(),)) == ()


async def test_nothing_is_waited_for_that_a_cluster_need_not_have() -> None:
    async with emulated() as server:
        connection = await connect(server.access)
        store = ObjectStore("n1", asyncio.Event(), kinds=WITH_WIDGETS)
        source = LiveSource(connection, store.apply, WITH_WIDGETS)
        task = asyncio.create_task(source.run())
        try:
            await eventually(lambda: all(status.synced for status in source.statuses()))
        finally:
            task.cancel()
            await asyncio.wait([task])
        assert (store.waiting_for, store.state().all(WIDGET), source.conditions()) == ((), {}, ())


async def test_an_examination_asks_for_what_there_is() -> None:
    async with emulated() as server:
        settings = load_settings({"kubeconfig": server.access.files}, {}).settings
        line = await api_line(settings, {}, WITH_WIDGETS)
        assert (line.state, line.text) == ("ok", "it answers, and lists Namespace, NetworkPolicy, Node, Pod")
        server.emulator.missing.add(PODS)
        line = await api_line(settings, {}, WITH_WIDGETS)
        assert (line.state, "does not list Pod (404)" in line.text) == ("FAIL", True)


async def test_a_kind_that_a_server_must_have_is_waited_for() -> None:
    emulator = Emulator(missing=set(PATHS))
    async with emulated(emulator) as server, scene(server.access, "Namespace") as working:
        await working.restarted("missing", 3)
        assert (working.recorder.events, working.reflector.status().absent) == ([], False)
        assert emulator.asked("/apis") == []


async def test_it_is_asked_for_again_after_growing_pauses() -> None:
    async with emulated() as server, scene(server.access, "Widget", kinds=WITH_WIDGETS) as working:
        await working.until(lambda: len(working.recorder.pauses) >= 6)
        assert working.recorder.pauses[:6] == [3.75, 7.5, 15.0, 30.0, 45.0, 45.0]


Told: TypeAlias = tuple[int, object] | WatchError


class Said:
    """A transport that gives one answer after another."""

    def __init__(self, *answers: Told) -> None:
        self._answers = list(answers)

    @asynccontextmanager
    async def get(self, path: str, query: Query, accept: str, seconds: float) -> AsyncIterator[Answer]:
        """The next answer, whatever is asked."""
        answer = self._answers.pop(0)
        if isinstance(answer, WatchError):
            raise answer
        yield Answer(answer[0], None, _chunks(json.dumps(answer[1]).encode()))

    async def renew(self) -> None:
        """There are no credentials."""


async def _chunks(body: bytes) -> AsyncIterator[bytes]:
    yield body[:7]
    yield body[7:]


GONE = (404, None)
NO_GROUPS = (200, {"kind": "APIGroupList", "groups": []})
ABSENT = (GONE, NO_GROUPS)
HERE = ((200, {"kind": "APIResourceList", "resources": [{"name": "widgets"}]}),)
REFUSAL = WatchError("missing", "HTTP 404: 404 page not found")


@pytest.mark.parametrize(
    "doubt",
    [
        (WatchError("unreachable", "no connection"),),
        (GONE, WatchError("broken", "cut off")),
        ((503, None),),
        ((403, None),),
        (GONE, (404, None)),
        (GONE, (200, {"kind": "Status"})),
        (GONE, (200, {"kind": "APIGroupList", "groups": "none"})),
        (GONE, (200, ["APIGroupList"])),
        HERE,
    ],
)
async def test_a_doubt_begins_the_confirmation_again(doubt: Sequence[Told]) -> None:
    """CNP-049: not on a watch error, whatever discovery said before."""
    clock = [0.0]
    transport = Said(*ABSENT, *doubt, *ABSENT, *ABSENT, *ABSENT)
    absence = Absence(WIDGET, transport, lambda: clock[0], lambda: 1.0)
    certain = []
    for seconds in (0.0, CONFIRM - 1, 2.0, CONFIRM - 1, 1.0):
        clock[0] += seconds
        found = await absence.examine(REFUSAL, empty=False)
        certain.append((found is None, absence.certain))
    assert certain == [(False, False)] * 4 + [(True, True)]


async def test_a_version_that_discovery_lists_and_does_not_have_proves_nothing() -> None:
    versions = [{"groupVersion": WIDGET.version}]
    groups = {"kind": "APIGroupList", "groups": [{"name": WIDGET.group, "versions": versions}]}
    absence = Absence(WIDGET, Said(GONE, (200, groups)), lambda: 0.0, lambda: 1.0)
    found = await absence.examine(REFUSAL, empty=True)
    assert found is not None
    assert found.text.endswith(f"is not known: discovery lists {WIDGET.version}, and does not have it")


async def test_a_group_of_other_kinds_does_not_have_it() -> None:
    others = (
        200,
        {"kind": "APIResourceList", "resources": [{"name": "gadgets"}, {"name": "widgets/status"}]},
    )
    versions = [{"groupVersion": WIDGET.version}]
    groups = {"kind": "APIGroupList", "groups": [{"name": WIDGET.group, "versions": versions}]}
    assert await served_version(Said(others, (200, groups)), WIDGET) is None


def test_the_emulator_has_no_discovery_of_what_is_no_group() -> None:
    assert replies.discovery("/api/v1/pods", PATHS) is None
