"""The emulator says what a kube-apiserver was recorded to say: same status, headers and shape of body."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from tests.watcher.emulator import NAMESPACES, PODS, Emulator
from tests.watcher.objects import namespace, pod

RECORDED = Path(__file__).resolve().parent.parent / "fixtures" / "apiserver"
PARTIAL = "application/json;as=PartialObjectMetadata{};g=meta.k8s.io;v=v1,application/json"
#: HTTP/2 frames bodies itself; the length is said or not said as HTTP/1.1 has it.
FRAMING = {"content-length", "transfer-encoding", "date"}
#: Maps whose keys are data.
OPEN = {"labels", "annotations", "fieldsV1"}
STREAM = {
    "watch": "1",
    "sendInitialEvents": "true",
    "resourceVersionMatch": "NotOlderThan",
    "allowWatchBookmarks": "true",
    "timeoutSeconds": "0.2",
}


@dataclass(frozen=True, slots=True)
class Said:
    """A response of either side."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.body.splitlines() if line]


def recorded(name: str, headers: str = "") -> Said:
    body = next(RECORDED.glob(f"{name}.[bj]*")).read_bytes()
    head, *rest = (RECORDED / f"{headers or name}.headers").read_text().split("\n")
    pairs = (line.strip().split(": ", 1) for line in rest if line.strip())
    return Said(int(head.split()[1]), {key.lower(): value for key, value in pairs}, body)


@asynccontextmanager
async def said(
    emulator: Emulator, path: str, query: Mapping[str, str], headers: Mapping[str, str] | None = None
) -> AsyncIterator[Said]:
    async with (
        emulator.serve() as serving,
        aiohttp.ClientSession(serving.url) as session,
        session.get(path, params=query, headers=headers) as response,
    ):
        lower = {key.lower(): value for key, value in response.headers.items()}
        yield Said(response.status, lower, await response.read())


def shape(value: object) -> object:
    """What is the same of two values that say the same of different things."""
    match value:
        case dict():
            return {key: "data" if key in OPEN else shape(item) for key, item in value.items()}
        case list():
            return [shape(item) for item in value[:1]]
        case _:
            return type(value).__name__


def covers(recording: object, emulated: object) -> bool:
    """Whether everything that the emulator says is in the recording, too: real objects hold more."""
    if isinstance(recording, dict) and isinstance(emulated, dict):
        return all(key in recording and covers(recording[key], emulated[key]) for key in emulated)
    if isinstance(recording, list) and isinstance(emulated, list):
        return all(covers(recording[0], item) for item in emulated)
    return recording == emulated


def assert_same_head(expected: Said, actual: Said) -> None:
    assert actual.status == expected.status
    names = set(expected.headers) - FRAMING
    assert names <= set(actual.headers)
    for name in names - {"audit-id"} - {key for key in names if key.startswith("x-kubernetes")}:
        assert actual.headers[name] == expected.headers[name]


def two_pods() -> Emulator:
    emulator = Emulator()
    emulator.put(PODS, pod("db", namespace="rec"), pod("tmp", namespace="rec"), pod("web", namespace="rec"))
    return emulator


def compacted() -> Emulator:
    emulator = two_pods()
    emulator.history.compact()
    return emulator


def closed() -> Emulator:
    return Emulator(forbidden={PODS})


@pytest.mark.parametrize(
    ("name", "emulator", "path", "query"),
    [
        ("unauthorized-badtoken", Emulator(tokens=frozenset()), PODS, {}),
        ("forbidden", closed(), PODS, {}),
        ("missing-crd", Emulator(), "/apis/policy.networking.k8s.io/v1alpha2/clusternetworkpolicies", {}),
        ("bad-continue", two_pods(), PODS, {"continue": "gYE"}),
        ("future-rv", two_pods(), PODS, {"resourceVersion": "99999999"}),
        ("invalid-initial-events", two_pods(), PODS, {"watch": "1", "sendInitialEvents": "true"}),
    ],
)
async def test_refusals_are_as_recorded(
    name: str, emulator: Emulator, path: str, query: dict[str, str]
) -> None:
    expected = recorded(name)
    async with said(emulator, path, query) as actual:
        assert_same_head(expected, actual)
        if expected.headers["content-type"] != "application/json":
            assert actual.body == expected.body
            return
        assert shape(json.loads(actual.body)) == shape(json.loads(expected.body))
        for key in ("status", "reason", "code"):
            assert json.loads(actual.body).get(key) == json.loads(expected.body).get(key)


async def test_an_expired_page_is_refused_as_recorded() -> None:
    emulator = two_pods()
    expected = recorded("expired-continue")
    query = {"limit": "2", "continue": "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJ0bXBcdTAwMDAifQ"}
    async with said(emulator, PODS, query) as actual:
        assert_same_head(expected, actual)
        assert json.loads(actual.body) == json.loads(expected.body)


async def test_pages_are_as_recorded() -> None:
    first, second = recorded("list-page-1"), recorded("list-page-2", "list-page-1")
    async with said(two_pods(), PODS, {"limit": "2"}) as actual:
        assert_same_head(first, actual)
        mine, theirs = json.loads(actual.body), json.loads(first.body)
        assert shape(mine["metadata"]) == shape(theirs["metadata"])
        assert mine["metadata"]["remainingItemCount"] == theirs["metadata"]["remainingItemCount"]
        assert list(mine) == list(theirs)
        assert len(mine["items"]) == len(theirs["items"]) == 2
        assert not {"kind", "apiVersion"} & set(theirs["items"][0])
        assert not {"kind", "apiVersion"} & set(mine["items"][0])
        assert shape(json.loads(second.body)["metadata"]) == {"resourceVersion": "str"}


async def test_a_streamed_list_is_as_recorded() -> None:
    expected = recorded("watchlist")
    async with said(two_pods(), PODS, STREAM) as actual:
        assert_same_head(expected, actual)
        mine, theirs = actual.lines, expected.lines
        assert [line["type"] for line in mine] == ["ADDED", "ADDED", "ADDED", "BOOKMARK", "BOOKMARK"]
        assert [line["type"] for line in theirs][:4] == ["ADDED", "ADDED", "ADDED", "BOOKMARK"]
        for index in (0, 3, -1):
            assert covers(shape(theirs[index]), shape(mine[index]))
        for index in (3, -1):  # bookmarks are the same to the last key
            assert shape(mine[index]) == shape(theirs[index])
        assert list(mine[0]) == ["type", "object"]


async def test_a_forgotten_version_is_refused_as_recorded() -> None:
    expected = recorded("gone-watch")
    query = {"watch": "1", "resourceVersion": "1"}
    async with said(compacted(), PODS, query) as actual:
        assert_same_head(expected, actual)
        assert [shape(line) for line in actual.lines] == [shape(line) for line in expected.lines]
        assert actual.lines[0]["type"] == "ERROR"


async def test_metadata_alone_is_as_recorded() -> None:
    emulator = Emulator()
    emulator.put(NAMESPACES, namespace("rec", team="blue"))
    expected = recorded("namespaces-partial-metadata", "list-page-1")
    async with said(emulator, NAMESPACES, {}, {"Accept": PARTIAL.format("List")}) as actual:
        assert_same_head(expected, actual)
        mine, theirs = json.loads(actual.body), json.loads(expected.body)
        assert {key: mine[key] for key in ("kind", "apiVersion")} == {
            key: theirs[key] for key in ("kind", "apiVersion")
        }
        assert covers(shape(theirs["items"]), shape(mine["items"]))
