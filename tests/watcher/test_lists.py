"""How a list comes about when the server cannot, will not, or stops in the middle."""

from __future__ import annotations

import pytest
from aiohttp import web

from policyd.cluster.events import Delete, Synced, Upsert
from policyd.watcher import resource
from policyd.watcher.transport import Timeouts
from tests.watcher import replies
from tests.watcher.emulator import GZIP_FROM, NAMESPACES, PODS, Cut, Emulator, How
from tests.watcher.objects import pod
from tests.watcher.work import at_work, with_pods


def streamed(emulator: Emulator) -> list[bool]:
    """Of the lists that were asked for, in order: whether as a stream."""
    return [
        "sendInitialEvents" in seen.query
        for seen in emulator.asked(PODS)
        if "resourceVersion" not in seen.query and "continue" not in seen.query
    ]


async def test_a_streamed_list_is_asked_for_first() -> None:
    emulator = with_pods(3)
    async with at_work(emulator) as working:
        await working.synced()
        (asked,) = emulator.asked(PODS)
        assert dict(asked.query) == {
            "watch": "true",
            "sendInitialEvents": "true",
            "allowWatchBookmarks": "true",
            "resourceVersionMatch": "NotOlderThan",
            "timeoutSeconds": "450",
        }


async def test_a_server_that_cannot_stream_is_remembered() -> None:
    emulator = with_pods(3, streaming=False)
    async with at_work(emulator) as working:
        await working.synced()
        await emulator.until(lambda: emulator.watches(PODS) == 1)
        emulator.inject(PODS, replies.gone(1, 2))
        await working.until(lambda: working.reflector.status().lists == 2)
        assert streamed(emulator) == [True, False, False]


@pytest.mark.parametrize("status", [400, 403, 422])
async def test_what_may_mean_that_streaming_is_refused_leads_to_pages_at_once(status: int) -> None:
    emulator = with_pods(3)
    emulator.faults.append(web.Response(status=status, text="no such parameter"))
    async with at_work(emulator) as working:
        await working.synced()
        assert streamed(emulator) == [True, False]
        assert working.recorder.pauses == []
        assert working.reflector.status().trouble is None


@pytest.mark.parametrize("streaming", [True, False])
async def test_metadata_is_asked_for_in_lists_and_in_watches(streaming: bool) -> None:
    emulator = Emulator(streaming=streaming)
    async with at_work(emulator, "Namespace") as working:
        await working.synced()
        await emulator.until(lambda: emulator.watches(NAMESPACES) == 1)
        form = "application/json;as=PartialObjectMetadata{};g=meta.k8s.io;v=v1,application/json"
        expected = {"list": form.format("List"), "watch": form.format("")}
        asked = [(seen.query.get("watch"), seen.headers["Accept"]) for seen in emulator.asked(NAMESPACES)]
        assert asked == [(watch, expected["watch" if watch else "list"]) for watch, _ in asked]


async def test_pages_are_put_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "PAGE", 10)
    emulator = with_pods(35, streaming=False)
    async with at_work(emulator) as working:
        await working.synced()
        assert len(working.reflector.objects) == 35
        assert len(emulator.asked(PODS)) >= 5  # the stream, and four pages
        assert len(working.recorder.batches) == 1


async def test_a_page_comes_compressed() -> None:
    emulator = with_pods(500, streaming=False)
    assert sum(len(text) for _, text in emulator.history.listed(PODS)) > GZIP_FROM
    async with at_work(emulator) as working:
        await working.synced()
        assert len(working.reflector.objects) == 500
        assert "gzip" in emulator.asked(PODS)[1].headers["Accept-Encoding"]


async def test_a_list_whose_token_expires_is_begun_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "PAGE", 2)
    emulator = with_pods(5, streaming=False)
    # The stream is refused, the first page comes, and of the second the version is forgotten.
    emulator.faults.extend([None, None, replies.expired_page("p001")])
    async with at_work(emulator) as working:
        await working.synced()
        assert len(working.reflector.objects) == 5
        assert working.reflector.status().restarts == {"unsupported": 1, "expired": 1}
        assert len(working.recorder.batches) == 1


@pytest.mark.parametrize(("how", "reason"), [("reset", "broken"), ("drop", "broken"), ("half-line", "ended")])
async def test_half_a_list_is_none(how: How, reason: str) -> None:
    emulator = with_pods(9)
    async with at_work(emulator) as working:
        await working.synced()
        emulator.cut(PODS, "drop")
        emulator.delete(PODS, "shop/p000")
        emulator.history.compact()
        emulator.faults.extend([None, Cut(4, how)])
        await working.knows(
            {key: item for key, item in working.reflector.objects.items() if key != "shop/p000"}
        )
        assert working.recorder.batches[1:] == [(Delete("Pod", "shop/p000"),)]
        assert reason in working.reflector.status().restarts


async def test_a_list_that_is_cut_off_again_and_again_is_not_hammered_for() -> None:
    emulator = with_pods(9)
    emulator.faults.extend([Cut(4, "drop")] * 6)
    async with at_work(emulator) as working:
        await working.synced()
        assert working.recorder.pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2]


async def test_a_stream_that_ends_before_the_list_is_complete_gives_way_to_pages_once() -> None:
    emulator = with_pods(9)
    emulator.faults.append(Cut(4, "end"))
    async with at_work(emulator) as working:
        await working.synced()
        await emulator.until(lambda: emulator.watches(PODS) == 1)
        emulator.inject(PODS, replies.gone(1, 2))
        await working.until(lambda: working.reflector.status().lists == 2)
        assert streamed(emulator) == [True, False, True]


@pytest.mark.parametrize("answer", [b"<html>", b"{}\n", b'"what?"\n'])
async def test_a_stream_that_says_nothing_sensible_gives_way_to_pages_once(answer: bytes) -> None:
    emulator = with_pods(9)
    emulator.faults.append(web.Response(body=answer))
    async with at_work(emulator) as working:
        await working.synced()
        assert streamed(emulator) == [True, False]


async def test_a_silent_stream_gives_way_to_pages_once() -> None:
    emulator = with_pods(9)
    emulator.faults.append(Cut(4, "hang"))
    async with at_work(emulator, timeouts=Timeouts(read=0.5)) as working:
        await working.synced()
        assert streamed(emulator)[:2] == [True, False]


async def test_a_server_that_overlooks_the_parameter_gives_itself_away() -> None:
    """It sends bookmarks, but none that ends a list. Servers before 1.27 knew nothing of streamed lists."""
    emulator = with_pods(3)
    bookmark = replies.event("BOOKMARK", b'{"metadata":{"resourceVersion":"5","annotations":{"a":"b"}}}')
    emulator.faults.append(web.Response(body=bookmark))
    async with at_work(emulator) as working:
        await working.synced()
        assert streamed(emulator) == [True, False]
        assert working.reflector.status().restarts == {"unsupported": 1}


async def test_a_relist_says_only_what_changed() -> None:
    emulator = with_pods(50)
    async with at_work(emulator) as working:
        await working.synced()
        known = working.reflector.objects["shop/p007"]
        emulator.cut(PODS, "drop")
        emulator.faults.append(replies.refuse(replies.status(410, "Expired", "too old")))
        emulator.delete(PODS, "shop/p001")
        emulator.put(PODS, pod("p002", ips=["10.0.0.1"]), pod("new"))
        await working.until(lambda: working.reflector.status().lists == 2)
        (told,) = working.recorder.batches[1:]
        assert [type(event) for event in told] == [Delete, Upsert, Upsert]
        assert {event.key for event in told if not isinstance(event, Synced)} == {
            "shop/p001",
            "shop/p002",
            "shop/new",
        }
        assert working.reflector.objects["shop/p007"] is known


@pytest.mark.slow
async def test_a_hundred_thousand_pods_are_no_trouble() -> None:
    emulator = with_pods(100_000)
    async with at_work(emulator) as working:
        await working.synced()
        assert len(working.reflector.objects) == 100_000
        assert working.reflector.status().restarts == {}
