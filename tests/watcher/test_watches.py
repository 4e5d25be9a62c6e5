"""What becomes of a watch when the server, the network or the data go wrong."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import pytest
from aiohttp import web

from policyd.cluster.events import Event, Synced
from policyd.kube.registry import KINDS, POD
from policyd.watcher.failure import Reason
from policyd.watcher.reflector import Reflector
from policyd.watcher.transport import Timeouts, connect
from tests.support.waiting import DEADLINE
from tests.watcher import replies
from tests.watcher.emulator import NAMESPACES, NODES, PODS, Hang, How
from tests.watcher.objects import namespace, node, pod
from tests.watcher.scene import Recorder, replay, scene
from tests.watcher.server import emulated
from tests.watcher.work import at_work, versions, watching, with_pods


async def test_a_burst_in_one_chunk_is_one_call_of_the_sink() -> None:
    emulator = with_pods(0)
    async with at_work(emulator) as working:
        await watching(working, emulator)
        emulator.put(PODS, *(pod(f"p{number}") for number in range(20)))
        await working.until(lambda: len(working.reflector.objects) == 20)
        assert [len(batch) for batch in working.recorder.batches] == [1, 20]


async def test_duplicates_wake_nobody() -> None:
    emulator = with_pods(1)
    async with at_work(emulator) as working:
        await watching(working, emulator)
        (text,) = emulator.history.of(PODS).values()
        emulator.inject(PODS, replies.event("ADDED", text) * 3 + replies.event("MODIFIED", text))
        emulator.inject(PODS, replies.event("DELETED", text) * 2)
        await working.until(lambda: not working.reflector.objects)
        assert [len(batch) for batch in working.recorder.batches] == [2, 1]


@pytest.mark.parametrize(
    ("how", "reason", "pauses"),
    [("end", "ended", []), ("half-line", "ended", []), ("reset", "broken", [0.1]), ("drop", "broken", [0.1])],
)
async def test_a_watch_goes_on_where_it_was(how: How, reason: Reason, pauses: list[float]) -> None:
    emulator = with_pods(2)
    async with at_work(emulator) as working:
        await watching(working, emulator)
        emulator.put(PODS, pod("new"))
        last = str(emulator.history.version)
        await working.until(lambda: "shop/new" in working.reflector.objects)
        emulator.cut(PODS, how)
        emulator.put(PODS, pod("meanwhile"))
        emulator.delete(PODS, "shop/p000")
        await working.until(lambda: "shop/meanwhile" in working.reflector.objects)
        assert versions(emulator) == ["", last]
        assert "shop/p000" not in working.reflector.objects
        assert working.reflector.status().restarts == {reason: 1}
        assert working.recorder.pauses == pauses


async def test_a_bookmark_says_where_to_go_on() -> None:
    emulator = with_pods(1)
    async with at_work(emulator) as working:
        await watching(working, emulator)
        emulator.put(NODES, node("n1"))  # counts versions up, and pods do not hear of it
        emulator.bookmark(PODS)
        emulator.cut(PODS, "end")
        await working.restarted("ended")
        await emulator.until(lambda: len(versions(emulator)) == 2)
        assert versions(emulator) == ["", str(emulator.history.version)]


async def test_a_watch_that_always_ends_at_once_is_not_hammered_for() -> None:
    emulator = with_pods(1)
    async with at_work(emulator) as working:
        await watching(working, emulator)
        emulator.faults.extend([web.Response() for _ in range(5)])
        emulator.cut(PODS, "end")
        emulator.put(PODS, pod("new"))
        await working.until(lambda: "shop/new" in working.reflector.objects)
        assert working.recorder.pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2]


@pytest.mark.parametrize("form", ["status", "event"])
async def test_an_expired_version_means_a_new_list_and_the_old_store_serves_on(form: str) -> None:
    emulator = with_pods(2)
    async with at_work(emulator) as working:
        await watching(working, emulator)
        emulator.cut(PODS, "drop")
        emulator.delete(PODS, "shop/p000")
        if form == "event":
            emulator.history.compact()
            emulator.faults.extend([None, Hang()])
        else:
            emulator.faults.extend([replies.refuse(replies.status(410, "Expired", "too old")), Hang()])
        await emulator.until(lambda: len(versions(emulator)) == 3)
        assert versions(emulator)[2] == ""
        assert set(working.reflector.objects) == {"shop/p000", "shop/p001"}
        assert working.reflector.status().synced
        assert working.reflector.status().restarts["expired"] == 1


async def test_an_expired_version_is_no_reason_to_wait_before_the_list() -> None:
    """However long the pauses have become; but the second in a row is one."""
    emulator = with_pods(1)
    async with at_work(emulator) as working:
        await watching(working, emulator)
        gone = replies.status(410, "Expired", "too old")
        emulator.faults.extend([web.Response(status=503), replies.refuse(gone), replies.refuse(gone)])
        emulator.cut(PODS, "drop")
        await working.until(lambda: working.reflector.status().lists == 2)
        assert working.recorder.pauses == [0.1, 0.2, 0.4]
        assert working.reflector.status().restarts == {"broken": 1, "server-error": 1, "expired": 2}


async def test_overload_is_met_with_patience() -> None:
    """Never less than the server wishes, and more each time."""
    emulator = with_pods(1)
    emulator.faults.extend([replies.overloaded() for _ in range(5)])
    async with at_work(emulator) as working:
        await working.synced()
        assert working.recorder.pauses == [1.1, 1.2, 1.4, 1.8, 2.6]
        assert working.reflector.status().restarts == {"throttled": 5}


async def test_an_absurd_wish_is_not_granted() -> None:
    emulator = with_pods(1)
    emulator.faults.append(web.Response(status=503, headers={"Retry-After": "86400"}))
    emulator.faults.append(web.Response(status=503, headers={"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}))
    async with at_work(emulator) as working:
        await working.synced()
        assert working.recorder.pauses == [60.1, 0.2]


@pytest.mark.parametrize(
    ("chance", "lives", "pauses"),
    [
        (0.0, "300", []),  # a pause of nothing at all is none
        (1.0, "600", [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0]),
    ],
)
async def test_chance_spreads_pauses_and_the_lives_of_watches(
    chance: float, lives: str, pauses: list[float]
) -> None:
    emulator = with_pods(1)
    emulator.faults.extend([web.Response(status=500) for _ in range(10)])
    async with emulated(emulator) as server, scene(server.access, "Pod", random=lambda: chance) as working:
        await working.synced()
        assert {seen.query["timeoutSeconds"] for seen in emulator.asked(PODS)} == {lives}
        assert working.recorder.pauses == pytest.approx(pauses)


@pytest.mark.parametrize("status", [204, 206, 304, 405])
async def test_what_is_no_list_is_not_taken_for_an_empty_one(status: int) -> None:
    emulator = with_pods(1)
    async with at_work(emulator) as working:
        await watching(working, emulator)
        emulator.faults.append(web.Response(status=status))
        emulator.inject(PODS, replies.gone(1, 2))
        await working.restarted("refused")
        await working.until(lambda: working.reflector.status().lists == 2)
        assert len(working.reflector.objects) == 1


async def test_success_ends_the_backoff() -> None:
    emulator = with_pods(1)
    emulator.faults.extend([web.Response(status=500) for _ in range(3)])
    async with at_work(emulator) as working:
        await watching(working, emulator)
        emulator.bookmark(PODS)
        emulator.cut(PODS, "drop")
        await working.restarted("broken")
        assert working.recorder.pauses == [0.1, 0.2, 0.4, 0.1]


async def test_forbidden_is_loud_and_asked_again_slowly(caplog: pytest.LogCaptureFixture) -> None:
    emulator = with_pods(2)
    emulator.forbidden.add(PODS)
    async with at_work(emulator) as working:
        await working.restarted("forbidden", 2)
        status = working.reflector.status()
        assert status.forbidden
        assert not status.synced
        assert status.trouble is not None
        assert 'User "nobody" cannot list resource "pods"' in status.trouble.text
        assert set(working.recorder.pauses) == {22.5}  # between 15 and 30, and no faster ones
        emulator.forbidden.clear()
        await working.synced()
        assert not working.reflector.status().forbidden
        assert (
            "sendInitialEvents" in emulator.asked(PODS)[-1].query
        )  # it was not streaming that was forbidden
    loud = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert {record.__dict__["reason"] for record in loud} == {"forbidden"}


async def test_a_right_that_is_taken_away_leaves_the_store() -> None:
    emulator = with_pods(2)
    async with at_work(emulator) as working:
        await watching(working, emulator)
        emulator.forbidden.add(PODS)
        emulator.cut(PODS, "end")
        await working.restarted("forbidden", 2)
        assert len(working.reflector.objects) == 2
        assert working.reflector.status().forbidden
        assert working.reflector.status().synced


async def test_a_kind_that_does_not_exist_has_a_status_of_its_own() -> None:
    emulator = with_pods(2)
    emulator.missing.add(PODS)
    async with at_work(emulator) as working:
        await working.restarted("missing", 2)
        assert working.reflector.status().missing
        assert not working.reflector.status().forbidden
        assert set(working.recorder.pauses) == {22.5}
        emulator.missing.clear()
        await working.synced()
        assert not working.reflector.status().missing


async def test_half_open_connections_are_noticed_and_the_second_one_means_a_new_list() -> None:
    """Real sockets on which nothing comes, and a shorter time than 70 s."""
    emulator = with_pods(2)
    async with at_work(emulator) as working:
        await watching(working, emulator)
        working.connection._timeouts = Timeouts(read=0.3)
        emulator.bookmark(PODS)
        emulator.cut(PODS, "end")
        await working.until(lambda: working.reflector.status().lists == 2)
        version = str(emulator.history.version)
        assert versions(emulator)[:4] == ["", version, version, ""]
        assert "sendInitialEvents" in emulator.asked(PODS)[3].query
        assert working.reflector.status().restarts["silent"] >= 2
        assert len(working.recorder.batches) == 1


async def test_a_restored_etcd_does_not_leave_us_in_its_future() -> None:
    """Its API server keeps a watch from a version that it has not reached, and says nothing on it."""
    emulator = with_pods(3)
    backup = emulator.history.backup()
    async with at_work(emulator, timeouts=Timeouts(read=0.25)) as working:
        await watching(working, emulator)
        emulator.put(PODS, *(pod(f"lost{number}") for number in range(20)))
        emulator.delete(PODS, "shop/p000")
        await working.until(lambda: len(working.reflector.objects) == 22)
        emulator.restore(backup)
        emulator.put(PODS, pod("after"))
        await working.until(
            lambda: set(working.reflector.objects) == {"shop/p000", "shop/p001", "shop/p002", "shop/after"}
        )


@pytest.mark.parametrize("how", ["end", "drop"], ids=["shut down", "broken"])
async def test_a_restored_etcd_that_has_passed_our_version_is_noticed_by_a_planned_list(how: How) -> None:
    """Its API server goes on from our version, and cannot know what of the time before it we know wrongly."""
    emulator = with_pods(3)
    backup = emulator.history.backup()
    async with at_work(emulator) as working:
        await watching(working, emulator)
        emulator.put(PODS, pod("lost"))
        emulator.delete(PODS, "shop/p000")
        await working.until(lambda: "shop/p000" not in working.reflector.objects)
        emulator.history.restore(backup)
        emulator.put(NODES, *(node(f"node-{number}", "192.0.2.1") for number in range(9)))
        emulator.cut(PODS, how)
        await emulator.until(lambda: emulator.opened[PODS] == 2)
        emulator.put(PODS, pod("after"))
        await working.until(lambda: "shop/after" in working.reflector.objects)
        assert "shop/lost" in working.reflector.objects  # what no watch can tell us
        assert emulator.asked(PODS)[-1].query["timeoutSeconds"] == "165"
        working.clock[0] += 165
        emulator.cut(PODS, "end")
        await working.until(
            lambda: set(working.reflector.objects) == {"shop/p000", "shop/p001", "shop/p002", "shop/after"}
        )
        assert emulator.asked(PODS)[-1].query["timeoutSeconds"] == "450"  # nothing more is planned


async def test_a_break_brings_the_planned_list_no_later_and_a_regular_end_brings_none() -> None:
    emulator = with_pods(1)
    async with at_work(emulator) as working:
        await watching(working, emulator)
        working.clock[0] += 450
        emulator.cut(PODS, "end")
        await emulator.until(lambda: emulator.opened[PODS] == 2)
        emulator.faults.append(replies.refuse(replies.status(429, "TooManyRequests", "wait")))
        working.clock[0] += 450
        emulator.cut(PODS, "end")
        await emulator.until(lambda: emulator.opened[PODS] == 3)
        asked = [seen.query["timeoutSeconds"] for seen in emulator.asked(PODS)]
        assert asked == ["450"] * 4
        for after, life in enumerate(["165", "105", "45"], 3):
            emulator.cut(PODS, "drop")
            await emulator.until(lambda: emulator.opened[PODS] == after + 1)  # noqa: B023
            assert emulator.asked(PODS)[-1].query["timeoutSeconds"] == life
            working.clock[0] += 60
        assert working.reflector.status().lists == 1
        emulator.cut(PODS, "drop")
        await working.until(lambda: working.reflector.status().lists == 2)
        assert emulator.asked(PODS)[-1].query["timeoutSeconds"] == "450"


async def test_a_replica_that_lags_is_waited_for_before_a_new_list() -> None:
    emulator = with_pods(1)
    async with at_work(emulator) as working:
        await watching(working, emulator)
        emulator.faults.append(replies.too_large("5", 4))
        emulator.cut(PODS, "end")
        await working.restarted("ahead")
        await emulator.until(lambda: emulator.watches(PODS) == 1)
        assert "" not in versions(emulator)[1:]
        emulator.faults.extend([replies.too_large("5", 4), replies.too_large("5", 4)])
        emulator.cut(PODS, "end")
        await working.until(lambda: working.reflector.status().lists == 2)


async def test_staleness_is_the_time_since_the_server_spoke() -> None:
    emulator = with_pods(1)
    async with at_work(emulator) as working:
        assert working.reflector.status().stale_seconds is None
        await watching(working, emulator)
        assert working.reflector.status().stale_seconds == 0.0
        working.clock[0] += 42.0
        assert working.reflector.status().stale_seconds == 42.0
        emulator.bookmark(PODS)
        await working.until(lambda: working.reflector.status().stale_seconds == 0.0)
        assert working.reflector.status().last_event == 1000.0  # a bookmark is none


async def test_an_error_of_the_sink_is_not_swallowed() -> None:
    def sink(events: Sequence[Event]) -> None:
        raise ZeroDivisionError(f"{len(events)} events")

    emulator = with_pods(1)
    async with emulated(emulator) as server:
        connection = await connect(server.access)
        try:
            with pytest.raises(ZeroDivisionError, match="2 events"):
                await Reflector(POD, connection, sink).run()
        finally:
            await connection.close()


async def test_all_kinds_come_to_one_sink_in_whatever_order() -> None:
    """Reflectors share a connection, and the sink hears of each kind when it is complete."""
    emulator = with_pods(2)
    emulator.put(NODES, node("node-1", "192.0.2.1"))
    emulator.put(NAMESPACES, namespace("shop"))
    recorder = Recorder()
    async with emulated(emulator) as server, asyncio.timeout(DEADLINE):
        connection = await connect(server.access)
        tasks = [asyncio.create_task(Reflector(kind, connection, recorder.sink).run()) for kind in KINDS]
        while sum(isinstance(event, Synced) for event in recorder.events) < len(KINDS.names):
            recorder.news.clear()
            await recorder.news.wait()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await connection.close()
    assert set(replay(recorder.events)) == {"shop/p000", "shop/p001", "node-1", "shop"}
    assert {event.kind for event in recorder.events if isinstance(event, Synced)} == set(KINDS.names)
