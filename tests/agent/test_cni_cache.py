"""New pods of this node are known by their network plugin's results, until the API server tells."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from policyd.agent.sources.cni_cache import RESCAN_MILLISECONDS, CniCache
from policyd.cluster.events import Upsert
from policyd.kube.objects import Pod
from policyd.manifests.load import load_manifest
from policyd.node.attach import Hint
from policyd.node.cni_result import read_hint
from policyd.object_store import News, ObjectStore
from tests.agent.agents import write
from tests.agent.results import RESULT
from tests.support.clock import TurnedClock
from tests.support.waiting import eventually


def test_a_result_is_a_hint_for_its_pod() -> None:
    assert read_hint(RESULT) == Hint("uid-1", 10 << 24 | 9, 0xFD << 120 | 9)


@pytest.mark.parametrize(
    "other",
    [
        None, [], {}, {**RESULT, "kind": "x"}, {**RESULT, "ifName": "lo"}, {**RESULT, "cniArgs": []},
        {**RESULT, "cniArgs": [["K8S_POD_UID"]]}, {**RESULT, "cniArgs": [["K8S_POD_UID", 7]]},
        {**RESULT, "result": {"ips": []}}, {**RESULT, "cniArgs": [[["K8S_POD_UID"], 7]]},
        {**RESULT, "result": {"ips": [{"address": "10.0.0.300/24"}]}}, {**RESULT, "result": {"ips": [None]}},
        {**RESULT, "ifName": "net1"}, {**RESULT, "ifName": "eth1"},
    ],
)  # fmt: skip
def test_anything_else_is_none(other: object) -> None:
    assert read_hint(other) is None


def pod(text: str) -> Pod:
    [item], _ = load_manifest(text.encode(), "pod.yaml")
    assert isinstance(item, Pod)
    return item


PENDING = pod(
    "apiVersion: v1\nkind: Pod\nmetadata: {namespace: shop, name: web, uid: uid-1}\n"
    "spec: {nodeName: n1, containers: [{name: c}]}\nstatus: {phase: Pending}\n"
)


def test_a_hint_counts_until_the_api_server_says() -> None:
    store = ObjectStore("n1", asyncio.Event())
    store.apply([Upsert("shop/web", PENDING)])
    assert store.take_news() is News.IDLE
    store.hint({"uid-1": Hint("uid-1", 9, None), "uid-2": Hint("uid-2", 8, None)})
    assert store.take_news() is News.STARTS
    assert store.state().pods["shop/web"].v4 == 9
    store.apply([Upsert("shop/web", replace(PENDING, v4=7))])
    assert store.state().pods["shop/web"].v4 == 7


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (replace(PENDING, uid="uid-2", name="db", v4=9), (None, 6)),
        (replace(PENDING, uid="uid-2", name="db", v4=9, node="n2"), (None, 6)),
        (replace(PENDING, uid="uid-2", name="db", v4=9, v6=6), (None, None)),
        (replace(PENDING, uid="uid-2", name="db", v4=9, deleting=True), (None, 6)),
        (replace(PENDING, uid="uid-2", name="db", v4=9, terminal=True), (9, 6)),
        (replace(PENDING, uid="uid-2", name="db", v4=9, host_network=True), (9, 6)),
        (replace(PENDING, uid="uid-2", name="db", v4=6, v6=9), (9, 6)),
    ],
)
def test_a_hint_takes_no_address_of_another_live_pod(
    other: Pod, expected: tuple[int | None, int | None]
) -> None:
    """Else who writes libcni's results, or a second network's, would open what the other is isolated for."""
    store = ObjectStore("n1", asyncio.Event())
    store.apply([Upsert("shop/web", PENDING), Upsert("shop/db", other)])
    store.hint({"uid-1": Hint("uid-1", 9, 6)})
    web, db = (store.state().pods[f"shop/{name}"] for name in ("web", "db"))
    assert ((web.v4, web.v6), db) == (expected, other)
    [local] = [found for found in store.local_pods() if found.key == "shop/web"]
    assert local.addresses == {(f, a) for f, a in zip((4, 6), expected, strict=True) if a is not None}


@pytest.mark.parametrize(
    "other",
    [replace(PENDING, node="n2"), replace(PENDING, uid="uid-3"), replace(PENDING, terminal=True)],
)
def test_a_hint_is_for_one_pod_of_this_node(other: Pod) -> None:
    store = ObjectStore("n1", asyncio.Event())
    store.apply([Upsert("shop/web", other)])
    store.hint({"uid-1": Hint("uid-1", 9, None)})
    assert store.state().pods["shop/web"].v4 is None


async def test_the_directory_is_followed_from_before_it_is_there(tmp_path: Path) -> None:
    told: list[dict[str, Hint]] = []

    directory = tmp_path / "results"
    directory.mkdir()
    write(directory, "broken-0-eth0", "{")
    write(directory, "cbr0-0a1b-eth0", json.dumps(RESULT))
    second = {**RESULT, "ifName": "net1", "result": {"ips": [{"address": "192.168.1.50/24"}]}}
    write(directory, "macvlan-0a1b-net1", json.dumps(second))  # a second network's, and the last
    cache = CniCache(directory, lambda hints: told.append(dict(hints)))
    task = asyncio.create_task(cache.run())
    await eventually(lambda: told)
    again = {**RESULT, "result": {"ips": [{"address": "10.0.0.10/24"}]}}
    write(directory, "cbr0-0a1c-eth0", json.dumps(again))
    await eventually(lambda: len(told) > 1)
    (directory / "cbr0-0a1c-eth0").unlink()
    (directory / "cbr0-0a1b-eth0").unlink()
    await eventually(lambda: told[-1] == {})
    task.cancel()
    first = {"uid-1": Hint("uid-1", 10 << 24 | 9, 0xFD << 120 | 9)}
    assert (told[0], told[1]) == (first, {"uid-1": Hint("uid-1", 10 << 24 | 10, None)})


@pytest.mark.timeout(60)  # it takes a moment, and what is missed never comes
async def test_a_result_is_known_as_soon_as_it_is_written_and_no_time_passes(tmp_path: Path) -> None:
    """A new pod waits for it: nothing on the way from the runtime's file is polled."""
    told: list[dict[str, Hint]] = []
    cache = CniCache(tmp_path, lambda hints: told.append(dict(hints)), TurnedClock().clock)
    task = asyncio.create_task(cache.run())
    for number in range(1, 6):
        item = {**RESULT, "result": {"ips": [{"address": f"10.0.0.{number}/24"}]}}
        (tmp_path / f"cbr0-{number}-eth0").write_text(json.dumps(item))
        await eventually(lambda: told and told[-1]["uid-1"].v4 == 10 << 24 | number)  # noqa: B023
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_directory_that_is_made_again_is_followed_again(tmp_path: Path) -> None:
    told: list[dict[str, Hint]] = []
    turned, directory = TurnedClock(), tmp_path / "results"
    directory.mkdir()
    cache = CniCache(directory, lambda hints: told.append(dict(hints)), turned.clock)
    task = asyncio.create_task(cache.run())
    for number in range(1, 3):
        await turned.next()
        directory.rename(tmp_path / f"before-{number}")
        directory.mkdir()
        await turned.turn(2 * RESCAN_MILLISECONDS / 1000)
        item = {**RESULT, "result": {"ips": [{"address": f"10.0.0.{number}/24"}]}}
        (directory / "cbr0-eth0").write_text(json.dumps(item))
        await eventually(lambda: told and told[-1].get("uid-1") == Hint("uid-1", 10 << 24 | number, None))  # noqa: B023
    assert cache.conditions() == ()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
