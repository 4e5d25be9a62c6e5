"""A node follows its pods by the kubelet, where that serves them, and by the API server alone where not."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from grpclib import GRPCError, Status
from grpclib.client import Channel
from grpclib.protocol import H2Protocol

from policyd.agent.clock import Clock
from policyd.agent.sources import kubelet as module
from policyd.agent.sources.kubelet import KubeletPods, Times
from policyd.cluster.events import Delete, Event, Upsert
from policyd.kube.decode import decode_live
from policyd.kube.objects import Pod
from policyd.kube.registry import POD
from policyd.lab.namespace import Namespace
from policyd.node.two_sources import TwoSources
from policyd.watcher.pauses import Pauses
from tests.agent.agents import run, running
from tests.agent.asking import ask_root
from tests.kubelet.kubelet import ADDED, DELETED, MODIFIED, Kubelet, field
from tests.networks.moments import ApiServer
from tests.support.waiting import eventually, until


def pod(name: str, version: int = 10, **status: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "namespace": "shop", "name": name, "uid": f"uid-{name}", "resourceVersion": str(version),
            "labels": {"app": name},
        },
        "spec": {"nodeName": "n1", "containers": [{"name": "c"}]},
        "status": {"phase": "Running", **status},
    }  # fmt: skip


WEB = pod("web", podIPs=[{"ip": "10.0.0.9"}])
DB = pod("db")


class Node:
    """What is known of a node's pods; the API server answers as long as `api_answers`."""

    def __init__(self, socket: Path, times: Times) -> None:
        self.pods: dict[str, Pod] = {}
        self.api_answers = True
        self.both = TwoSources("n1", self.take)
        self.seconds = 0.0  # added to the clock
        loop = asyncio.get_running_loop()
        clock = Clock(now=lambda: loop.time() + self.seconds)
        self.follower = KubeletPods(socket, self.both, lambda: self.api_answers, times, clock)

    def take(self, events: Sequence[Event]) -> None:
        for event in events:
            match event:
                case Upsert(key, Pod() as item):
                    self.pods[key] = item
                case Delete("Pod", key):
                    del self.pods[key]
                case _:
                    pass

    def api(self, *pods: dict[str, Any]) -> None:
        self.both.api([Upsert(f"shop/{raw['metadata']['name']}", decoded(raw)) for raw in pods])

    @property
    def names(self) -> list[str]:
        return sorted(self.pods)


def decoded(raw: dict[str, Any]) -> Pod:
    item = decode_live(raw, POD).item
    assert isinstance(item, Pod)
    return item


@asynccontextmanager
async def at_work(socket: Path, times: Times | None = None) -> AsyncIterator[Node]:
    node = Node(socket, times or Times())
    async with asyncio.TaskGroup() as group:
        task = group.create_task(node.follower.run())
        yield node
        task.cancel()


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSES", Pauses(first=0.01, most=0.02, slow=0.02))


@pytest.fixture
def kubelet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kubelet:
    monkeypatch.chdir(tmp_path)  # a socket's path has 107 bytes at most
    return Kubelet(Path("pods-api.sock"), [WEB, DB])


async def test_pods_are_known_and_followed_without_the_api_server(kubelet: Kubelet) -> None:
    async with kubelet.serving(), at_work(kubelet.socket) as node:
        await eventually(lambda: node.follower.is_followed)
        assert node.names == ["shop/db", "shop/web"]
        assert node.pods["shop/web"] == decoded(WEB)
        assert node.follower.state() == {"kubelet": True, "pods": 2, "reason": ""}
        kubelet.say(ADDED, pod("new"))
        kubelet.say(MODIFIED, pod("db", podIPs=[{"ip": "10.0.0.8"}]))
        await eventually(lambda: node.pods["shop/db"].v4 == 10 << 24 | 8)
        assert "shop/new" in node.pods
        kubelet.say(DELETED, {"metadata": {"namespace": "shop", "name": "web", "uid": "uid-web"}})
        await eventually(lambda: "shop/web" not in node.pods)


async def test_where_nothing_is_served_the_api_server_is_all_there_is(kubelet: Kubelet) -> None:
    async with at_work(kubelet.socket) as node:
        node.api(WEB)
        await eventually(lambda: node.follower.state()["reason"])
        node.seconds = 1000
        assert node.follower.conditions() == ()
        assert (node.names, node.follower.is_followed) == (
            ["shop/web"],
            False,
        )
        async with kubelet.serving():  # it is upgraded
            await eventually(lambda: node.follower.is_followed)
            assert node.names == ["shop/db", "shop/web"]


async def test_a_connection_that_is_lost_before_it_is_used_is_tried_again(
    kubelet: Kubelet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a kubelet that ends just then: the library has no error of its own for that."""
    connect, losses = Channel.__connect__, [None] * 3

    async def lose(channel: Channel) -> H2Protocol:
        protocol = await connect(channel)
        if losses:
            losses.pop()
            protocol.connection.close()
        return protocol

    monkeypatch.setattr(Channel, "__connect__", lose)
    async with kubelet.serving(), at_work(kubelet.socket) as node:
        await eventually(lambda: node.follower.is_followed)
        assert not losses
        assert node.names == ["shop/db", "shop/web"]


@pytest.mark.parametrize(
    "refusal",
    [
        GRPCError(Status.FAILED_PRECONDITION, "Kubelet is initializing"),
        GRPCError(Status.UNIMPLEMENTED, "unknown service v1alpha1.Pods"),
        GRPCError(Status.INTERNAL),
    ],
)
async def test_a_kubelet_that_refuses_is_asked_again_and_reported_after_a_minute(
    kubelet: Kubelet, refusal: GRPCError
) -> None:
    kubelet.refusal = refusal
    async with kubelet.serving(), at_work(kubelet.socket) as node:
        await eventually(lambda: kubelet.asked > 2)
        assert (node.follower.is_followed, node.follower.conditions()) == (False, ())
        node.seconds = 61
        [condition] = node.follower.conditions()
        assert (condition.name, condition.degraded) == ("kubelet-unread", False)
        assert refusal.status.name in condition.text
        kubelet.refusal = None
        await eventually(lambda: node.follower.is_followed)
        assert node.follower.conditions() == ()


async def test_what_a_kubelet_said_stays_while_it_restarts(
    kubelet: Kubelet, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with at_work(kubelet.socket) as node:
        async with kubelet.serving():
            await eventually(lambda: node.follower.is_followed)
        await eventually(lambda: not node.follower.is_followed)
        assert node.names == ["shop/db", "shop/web"]
        node.api_answers = False
        node.seconds = 61  # and for as long as the API server does not say which pods there are
        absent = f"there is no {kubelet.socket}"
        await eventually(lambda: node.follower.state()["reason"] == absent)
        await asyncio.sleep(0.1)
        assert node.names == ["shop/db", "shop/web"]
        kubelet.pods = [WEB]
        async with kubelet.serving():
            await eventually(lambda: node.follower.is_followed)
            assert node.names == ["shop/web"]
        node.api_answers = True
        node.seconds += 61
        await eventually(lambda: not node.names)
    events = [record.__dict__["event"] for record in caplog.records if "event" in record.__dict__]
    assert events[:2] == ["kubelet.followed", "kubelet.lost"]


async def test_who_was_cut_off_asks_for_all_again(kubelet: Kubelet) -> None:
    async with kubelet.serving(), at_work(kubelet.socket) as node:
        await eventually(lambda: node.follower.is_followed)
        kubelet.pods = [WEB, pod("missed")]
        kubelet.end()
        await eventually(lambda: node.names == ["shop/missed", "shop/web"])


async def test_all_is_asked_for_again_now_and_then(kubelet: Kubelet) -> None:
    """A kubelet with too many events drops some, and nothing in the stream tells."""
    async with kubelet.serving(), at_work(kubelet.socket, Times(life=0.05)) as node:
        await eventually(lambda: node.follower.is_followed)
        kubelet.pods = [WEB, pod("dropped")]
        async with asyncio.timeout(60):
            await eventually(lambda: node.names == ["shop/dropped", "shop/web"])
        assert node.follower.is_followed


async def test_a_kubelet_that_says_nothing_is_given_up(kubelet: Kubelet) -> None:
    kubelet.is_silent = True
    async with kubelet.serving(), at_work(kubelet.socket, Times(listed=0.05)) as node:
        await eventually(lambda: kubelet.asked > 1)
        node.seconds = 61
        [condition] = node.follower.conditions()
        assert "does not say which pods it has" in condition.text


async def test_what_is_no_event_ends_the_stream_and_nothing_else(kubelet: Kubelet) -> None:
    async with kubelet.serving(), at_work(kubelet.socket) as node:
        await eventually(lambda: node.follower.is_followed)
        asked = kubelet.asked
        kubelet.say_bytes(field(1, ADDED) + field(2, b"\xff"))
        await eventually(lambda: kubelet.asked > asked and node.follower.is_followed)
        assert node.names == ["shop/db", "shop/web"]


async def test_what_is_no_kubelet_is_told(kubelet: Kubelet) -> None:
    """Something else listens there, or nobody any more."""
    path = kubelet.socket

    async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_unix_server(refuse, path)
    async with at_work(path) as node:
        await eventually(lambda: node.follower.state()["reason"])
        node.seconds = 61
        assert node.follower.conditions()
        server.close()
        await server.wait_closed()
        await eventually(lambda: "refused" in str(node.follower.state()["reason"]) or not path.exists())


@contextmanager
def served(kubelet: Kubelet) -> Iterator[Callable[..., object]]:
    """The kubelet in a thread of its own, for an agent that is a process; gives what calls it there."""
    is_up, is_over = threading.Event(), threading.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        async with kubelet.serving():
            loops.append(asyncio.get_running_loop())
            is_up.set()
            await asyncio.to_thread(is_over.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert is_up.wait(60)
    try:
        yield loops[0].call_soon_threadsafe
    finally:
        is_over.set()
        thread.join()


@pytest.mark.kernel
def test_an_agent_goes_on_by_its_kubelet_without_an_api_server(kubelet: Kubelet, tmp_path: Path) -> None:
    node, kubeconfig = Namespace("node"), tmp_path / "kubeconfig"
    server = ApiServer(node, kubeconfig, ["web"])
    kubelet.pods = []
    flags = ("--kubeconfig", str(kubeconfig), "--kubelet-pods", str(kubelet.socket), "--listen", "")
    with served(kubelet) as call, running(node, tmp_path, *flags):
        until(lambda: json.loads(ask_root("/debug/state")[1])["own_pods"]["kubelet"])
        server.end()
        call(kubelet.say, MODIFIED, WEB)
        until(lambda: '"10.0.0.9"' in ask_root("/debug/objects")[1])
        told = run(node, "status").stdout
        assert "known by the API server and the kubelet, which has 1" in told
        examined = [line.split(maxsplit=2) for line in run(node, "doctor").stdout.splitlines()]
        said = "this node's pods are known by the API server and the kubelet, which has 1"
        assert ["ok", "pods", said] in examined
    node.close()
