"""What a running agent knows of its pods' interfaces: from the kernel, and from libcni's results."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from policyd.agent import attachment_watch
from policyd.agent.attachment_watch import STEADY_LOOKS, AttachmentWatch
from policyd.cluster.attachments import Attachments
from policyd.cluster.events import Delete, Synced, Upsert
from policyd.kube.objects import Pod
from policyd.kube.registry import KINDS
from policyd.lab.lab import Lab
from policyd.lab.namespace import Namespace
from policyd.lab.plan import Bridged, NodePlan, PodPlan
from policyd.manifests.load import load_manifest
from policyd.netlink.links import Link, Way, heard_links, open_link_listener, read_link, read_links
from policyd.node.attach import Hint
from policyd.node.bridge_guard import BridgeGuard
from policyd.node.cni_result import read_hint
from policyd.node.ways import Look
from policyd.object_store import News, ObjectStore
from policyd_compiler.ir import Attachment
from policyd_compiler.options import Options
from tests.agent.agents import nft, running
from tests.agent.results import RESULT
from tests.cli.node import manifests, node
from tests.fakes.fake_nft import NO_BRIDGE, FakeNft

__all__ = ["manifests", "node"]
from tests.support.waiting import DEADLINE

BRIDGE_PLUGIN = [
    {"name": "cni0", "mac": "02:00:00:00:00:01"},
    {"name": "veth1234", "mac": "02:00:00:00:00:02"},
    {"name": "eth0", "mac": "02:00:00:00:00:03", "sandbox": "/var/run/netns/cni-1"},
]


def with_interfaces(value: object) -> dict[str, Any]:
    return {**RESULT, "result": {**RESULT["result"], "interfaces": value}}


def test_a_result_names_the_nodes_interfaces_and_the_pods_hardware_address() -> None:
    hint = read_hint(with_interfaces(BRIDGE_PLUGIN))
    assert hint is not None
    assert (hint.interfaces, hint.mac) == (("cni0", "veth1234"), 0x02_00_00_00_00_03)


@pytest.mark.parametrize(
    "mac", ["", "02:00:00:00:00", "80:00:02:08:fe:80:00:00:00:00:00:00:f4:52:14:03:00:7b:cb:a1"]
)
def test_a_hardware_address_that_no_bridge_learns_is_none(mac: str) -> None:
    """InfiniBand's has twenty bytes."""
    hint = read_hint(with_interfaces([{**BRIDGE_PLUGIN[2], "mac": mac}]))
    assert hint is not None
    assert hint.mac is None


@pytest.mark.parametrize("odd", [None, 7, {}, [None], [{"name": 7}], [{"sandbox": "x", "name": "eth0"}]])
def test_a_result_without_usable_interfaces_is_still_a_hint(odd: object) -> None:
    hint = read_hint(with_interfaces(odd))
    assert hint is not None
    assert (hint.interfaces, hint.mac) == ((), None)


def pod(name: str, address: str, uid: str) -> Pod:
    text = (
        f"apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: shop, uid: {uid}}}\n"
        f"spec: {{nodeName: n1, containers: [{{name: c}}]}}\n"
        f"status: {{phase: Running, podIPs: [{{ip: {address}}}]}}\n"
    )
    [item], _ = load_manifest(text.encode(), "pod.yaml")
    assert isinstance(item, Pod)
    return item


@pytest.mark.kernel
@pytest.mark.asyncio
async def test_the_links_of_the_node_bind_its_pods() -> None:
    plans = (PodPlan("shop/a", ("10.0.0.1",)), PodPlan("shop/b", ("10.0.0.2",)))
    node = NodePlan("n1", ("192.0.2.1", "2001:db8:1::1"), plans, Bridged(("10.0.0.254", "fd00::fe")))
    store = ObjectStore("n1", asyncio.Event())
    a, b = pod("a", "10.0.0.1", "uid-a"), pod("b", "10.0.0.2", "uid-b")
    store.apply([Upsert("shop/a", a), Upsert("shop/b", b), Upsert("shop/u", pod("u", "10.0.0.9", "uid-u"))])
    nft = FakeNft(refuses=NO_BRIDGE)
    watch = AttachmentWatch(store, BridgeGuard(nft, Options()))
    with Lab([node]) as lab:
        devices = {key: pod.device for key, pod in lab.pods.items()}
        with lab.nodes["n1"].entered():
            await watch.look()
            assert not store.attachments.bridges
            assert said(watch) == [("bridge-unguarded", True)]
            nft.refuses = ()  # somebody loaded the module
            await watch.look()
            assert said(watch) == []
            assert {key: found.interface for key, found in store.attachments.pods.items()} == devices
            assert (store.take_news() > News.NOTHING, store.attachments.bridges) == (True, ("cni0",))
            # The plugin's word by the pod's uid counts more than what a pod says of itself.
            store.hint({"uid-a": Hint("uid-a", None, None, ("cni0", devices["shop/b"]), 7)})
            store.apply([Delete("Pod", "shop/b")])
            await watch.look()
            assert store.attachments.pods == {"shop/a": Attachment(devices["shop/b"], "cni0", 7)}
            for _ in range(STEADY_LOOKS):
                await watch.look()
    [condition] = watch.conditions()
    assert (condition.name, condition.degraded) == ("pods-unbound", False)
    assert "shop/u" in condition.text


async def test_what_cannot_be_read_keeps_no_ruleset_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ValueError("an odd answer")

    monkeypatch.setattr("policyd.agent.attachment_watch.read_links", fail)
    store = ObjectStore("n1", asyncio.Event())
    watch = AttachmentWatch(store, BridgeGuard(FakeNft(), Options()))
    store.apply([Synced(kind) for kind in KINDS.names])
    waiting = [store.waiting_for]
    await watch.look()
    assert [*waiting, store.waiting_for] == [("interfaces",), ()]
    assert said(watch) == [("interfaces-unread", False)]


def said(watch: AttachmentWatch) -> list[tuple[str, bool]]:
    return [(condition.name, condition.degraded) for condition in watch.conditions()]


@pytest.mark.kernel
def test_an_agent_that_starts_again_takes_no_binding_away(node: Namespace, manifests: Path) -> None:
    """NP-162: its first ruleset is the one in force, so nothing is written at all."""
    for _ in range(2):
        with running(node, manifests) as agent:
            [line] = agent.says("ruleset in force")
            held = nft(node, "list", "ruleset")
            assert agent.kill() == -signal.SIGKILL
        assert (line["generation"], '"veth1" . 10.0.0.1' in held) == (1, True)


def test_changes_of_this_nodes_pods_ask_for_another_look() -> None:
    store = ObjectStore("n1", asyncio.Event())
    mine, other = pod("a", "10.0.0.1", "uid-a"), replace(pod("c", "10.0.0.3", "uid-c"), node="n2")
    for change, expected in (
        ([Upsert("shop/c", other)], False),
        ([Delete("Pod", "shop/c")], False),
        ([Upsert("shop/a", mine)], True),
        ([Delete("Pod", "shop/a")], True),
    ):
        store.local_changed.clear()
        store.apply(change)
        assert store.local_changed.is_set() is expected


async def test_what_was_known_stays_while_links_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """And it is said; the next look that reads them takes it back."""
    known = Attachments({"shop/a": Attachment("veth1", "cni0")}, ("cni0",), ("veth1",))
    store = ObjectStore("n1", asyncio.Event())
    store.attach(known)
    watch = AttachmentWatch(store, BridgeGuard(FakeNft(), Options()))
    answers: list[Attachments | Exception] = [OSError(24, "Too many open files"), RuntimeError("no thread")]

    def read(_pods: object, before: Attachments, last: Look) -> Look:
        assert (before, last) == (known, Look())
        answer = answers.pop(0) if answers else known
        if isinstance(answer, Exception):
            raise answer
        return Look(found=answer)

    monkeypatch.setattr(attachment_watch, "look", read)
    for expected in ([("interfaces-unread", False)], [("interfaces-unread", False)], []):
        await watch.look()
        assert store.attachments == known
        assert said(watch) == expected


async def test_routes_are_asked_for_again_where_they_may_be_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pod that is bound keeps its route, but for one look in a while, as nobody tells of routes."""
    store = ObjectStore("n1", asyncio.Event())
    store.apply(
        [Upsert("shop/a", pod("a", "10.0.0.1", "uid-a")), Upsert("shop/b", pod("b", "10.0.0.2", "uid-b"))]
    )
    ways, asked = {"10.0.0.1": Way(7), "10.0.0.2": Way(2, gateway=True)}, list[list[str]]()
    links = [Link(2, "eth0"), Link(7, "veth7", "veth", peer=2, netns=0)]

    def read_ways(addresses: Iterable[str]) -> dict[str, Way]:
        asked.append(sorted(addresses))
        return {address: ways[address] for address in asked[-1]}

    monkeypatch.setattr(attachment_watch, "read_links", lambda: tuple(links))
    monkeypatch.setattr(attachment_watch, "read_ways", read_ways)
    monkeypatch.setattr(attachment_watch, "read_peers", lambda _links: {})
    watch = AttachmentWatch(store, BridgeGuard(FakeNft(), Options()), every=1e6)
    await watch.look()
    assert store.attachments.pods.keys() == {"shop/a"}
    links[:] = [links[0], replace(links[1], received=9), Link(8, "veth8", "veth", peer=2, netns=1)]
    ways["10.0.0.2"] = Way(8)  # its route is there now
    await watch.look()
    assert store.attachments.pods.keys() == {"shop/a", "shop/b"}
    links[2] = replace(links[2], netns=3)  # another pod's end, under the same number
    await watch.look()
    store.apply([Upsert("shop/a", pod("a", "10.0.0.9", "uid-a"))])
    ways["10.0.0.9"] = Way(7)
    await watch.look()
    assert asked == [["10.0.0.1", "10.0.0.2"], ["10.0.0.2"], ["10.0.0.2"], ["10.0.0.9"]]
    watch = AttachmentWatch(store, BridgeGuard(FakeNft(), Options()), every=0.0)
    for _ in range(2):
        await watch.look()
        assert asked.pop() == ["10.0.0.2", "10.0.0.9"]


async def test_a_change_is_looked_at_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not when the time for the next look has come, which here is never."""
    store = ObjectStore("n1", asyncio.Event())
    looks = asyncio.Queue[int]()
    loop = asyncio.get_running_loop()

    def read(pods: tuple[object, ...], _before: Attachments, _last: Look) -> Look:
        loop.call_soon_threadsafe(looks.put_nowait, len(pods))
        return Look()

    monkeypatch.setattr(attachment_watch, "look", read)
    monkeypatch.setattr(attachment_watch, "_listen", lambda: None)
    task = asyncio.create_task(AttachmentWatch(store, BridgeGuard(FakeNft(), Options()), every=1e6).run())
    try:
        async with asyncio.timeout(DEADLINE):
            assert await looks.get() == 0
            store.apply([Upsert("shop/a", pod("a", "10.0.0.1", "uid-a"))])
            assert await looks.get() == 1
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_only_links_that_were_heard_of_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """And all where notifications were lost, where many came, or where a pod's interface is not found."""
    store, asked = ObjectStore("n1", asyncio.Event()), list[int | str]()
    links = {n: Link(n, f"veth{n}", "veth", peer=2, netns=n) for n in range(7, 60)}

    def read_links() -> tuple[Link, ...]:
        asked.append("all")
        return tuple(links.values())

    def read_link(index: int) -> Link | None:
        asked.append(index)
        return links.get(index)

    monkeypatch.setattr(attachment_watch, "read_links", read_links)
    monkeypatch.setattr(attachment_watch, "read_link", read_link)
    monkeypatch.setattr(attachment_watch, "read_ways", lambda addresses: dict.fromkeys(addresses, Way(8)))
    monkeypatch.setattr(attachment_watch, "read_peers", lambda _links: {})
    heard: list[frozenset[int] | None] = []
    monkeypatch.setattr(attachment_watch, "heard_links", lambda _listener: heard.pop())
    watch = AttachmentWatch(store, BridgeGuard(FakeNft(), Options()), every=1e6)
    watch.listens()
    await watch.look()
    listener = cast(socket.socket, None)  # nobody reads it here
    for said, expected in (
        ([], []),
        ([frozenset({7})], [7]),
        ([frozenset({7}), frozenset({9, 70})], [7, 9, 70]),
        ([None], ["all"]),
        ([frozenset({7}), None], ["all"]),
        ([frozenset(range(7, 8 + attachment_watch.MOST_ASKED))], ["all"]),
    ):
        asked.clear()
        for each in said:
            heard.append(each)
            watch.hear(listener)
        await watch.look()
        assert sorted(asked, key=str) == sorted(expected, key=str)
    store.apply([Upsert("shop/a", pod("a", "10.0.0.1", "uid-a"))])
    del links[8]
    links[80] = replace(links[9], index=80, name="veth80")
    asked.clear()
    heard.append(frozenset({8}))
    watch.hear(listener)
    await watch.look()
    assert asked == [8, "all"]  # its interface is gone, or was never heard of


@pytest.mark.kernel
async def test_links_that_come_and_go_are_heard_of() -> None:
    """One by one, as the kernel says it, and read so as in a list of all."""
    with closing(Namespace("links")) as namespace, namespace.entered(), open_link_listener() as listener:
        assert heard_links(listener) == frozenset()
        namespace.ip(["link add cni0 type bridge", "link add veth1 type veth peer name veth2"])
        namespace.ip([f"link set {name} up" for name in ("cni0", "veth1", "veth2")])
        links = read_links()
        assert heard_links(listener) == frozenset(link.index for link in links if link.name != "lo")
        again = [found for link in links if (found := read_link(link.index)) is not None]
        assert [replace(link, received=0) for link in again] == [replace(link, received=0) for link in links]
        [port] = [link for link in links if link.name == "veth1"]
        for line in ("link set veth1 master cni0", "link set veth1 type bridge_slave isolated on"):
            namespace.ip([line])
            heard = heard_links(listener)
            assert heard is not None
            assert port.index in heard
            found = read_link(port.index)
            assert found is not None
            assert (found.master != port.master, found.isolated) == (True, line.endswith("isolated on"))
        namespace.ip(["link delete veth1"])
        heard = heard_links(listener)
        assert heard is not None
        assert port.index in heard
        assert read_link(port.index) is None
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        namespace.ip([f"link add bridge{number} type bridge" for number in range(9)])
        assert heard_links(listener) is None  # more than it has room for
        namespace.ip(["link set bridge1 up"])
        assert heard_links(listener)
