"""What a watch may say: lines of any length, bad lines, bad objects."""

from __future__ import annotations

import logging

import pytest
from aiohttp import web

from policyd.kube.objects import NetworkPolicy
from tests.watcher import replies
from tests.watcher.emulator import PODS, POLICIES, Emulator
from tests.watcher.history import to_json
from tests.watcher.objects import pod, policy
from tests.watcher.scene import replay
from tests.watcher.work import at_work, versions, watching, with_pods


async def test_a_line_may_be_longer_than_any_buffer() -> None:
    emulator = with_pods(0)
    async with at_work(emulator) as working:
        await watching(working, emulator)
        emulator.put(PODS, pod("big", annotations={"notes": "x" * (9 << 20)}), pod("small"))
        await working.until(lambda: "shop/small" in working.reflector.objects)
        assert "shop/big" in working.reflector.objects
        assert working.reflector.status().restarts == {}


async def test_a_line_may_come_byte_by_byte() -> None:
    emulator = with_pods(1)
    async with at_work(emulator) as working:
        await watching(working, emulator)
        (text,) = emulator.history.of(PODS).values()
        for byte in replies.event("DELETED", text):
            emulator.inject(PODS, bytes([byte]))
        await working.until(lambda: not working.reflector.objects)
        assert [len(batch) for batch in working.recorder.batches] == [2, 1]


@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"ADDED","object":{"metadata":',
        b"\xff\xfe",
        b'"Too many requests, please try again later."',
        b'{"type":"ADDED"}',
        b'{"type":"REMOVED","object":{}}',
        b'{"type":"BOOKMARK","object":{}}',
        b"[" * 100_000,
    ],
)
async def test_a_bad_line_costs_nothing_but_a_new_watch(
    line: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    emulator = with_pods(1)
    async with at_work(emulator) as working:
        await watching(working, emulator)
        happened = emulator.history.put(PODS, pod("before"))
        emulator.inject(PODS, replies.event("ADDED", happened.text) + line + b"\n")
        await working.restarted("malformed")
        assert "shop/before" in replay(working.recorder.events)
        emulator.put(PODS, pod("after"))
        await working.until(lambda: "shop/after" in working.reflector.objects)
        assert versions(emulator) == ["", str(happened.version)]
    (loud,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert loud.__dict__["reason"] == "malformed"


async def test_a_line_that_is_bad_each_time_means_a_new_list() -> None:
    emulator = with_pods(1)
    async with at_work(emulator) as working:
        await watching(working, emulator)
        emulator.faults.extend([web.Response(body=b"{\n"), web.Response(body=b"{\n")])
        emulator.cut(PODS, "end")
        emulator.put(PODS, pod("after"))
        await working.until(lambda: "shop/after" in working.reflector.objects)
        await emulator.until(lambda: emulator.watches(PODS) == 1)
        emulator.inject(PODS, b"{\n")  # one more, and the new list's version has a chance, too
        await emulator.until(lambda: len(versions(emulator)) == 5)
        last = str(emulator.history.version)
        assert versions(emulator) == ["", "21001", "21001", "", last]


async def test_bad_lines_with_good_ones_between_them_mean_no_new_list() -> None:
    emulator = with_pods(1)
    async with at_work(emulator) as working:
        await watching(working, emulator)
        for number in range(1, 5):
            emulator.put(PODS, pod(f"new{number}"))
            emulator.inject(PODS, b"{\n")
            await working.restarted("malformed", number)
            await emulator.until(lambda: emulator.opened[PODS] == number + 1)  # noqa: B023 (it does not outlive the turn)
        assert working.reflector.status().lists == 1


async def test_what_a_bad_line_holds_is_not_reported(caplog: pytest.LogCaptureFixture) -> None:
    emulator = with_pods(1)
    async with at_work(emulator) as working:
        await watching(working, emulator)
        emulator.inject(PODS, b'{"type":"ADDED","object":{"password":"hunter2"\n')
        await working.restarted("malformed")
    assert caplog.records
    assert not any("hunter2" in str(vars(record)) for record in caplog.records)


async def test_a_malformed_object_harms_no_other() -> None:
    emulator = with_pods(0)
    async with at_work(emulator) as working:
        await watching(working, emulator)
        bad = replies.event("ADDED", to_json({"metadata": {"namespace": "shop", "resourceVersion": "21900"}}))
        odd = to_json(
            {"metadata": {"name": "odd", "namespace": "shop", "resourceVersion": "21901"}, "spec": 7}
        )
        emulator.inject(PODS, bad + replies.event("ADDED", odd))
        emulator.put(PODS, pod("good"))
        await working.until(lambda: "shop/good" in working.reflector.objects)
        assert set(working.reflector.objects) == {"shop/odd", "shop/good"}
        assert [str(mistake) for mistake in working.reflector.mistakes["shop/odd"]] == [
            "spec: must be a mapping, not the number 7"
        ]
        status = working.reflector.status()
        assert (status.nameless, status.mistaken, status.restarts) == (1, 1, {})


async def test_a_policy_with_mistakes_is_kept_until_they_are_gone(caplog: pytest.LogCaptureFixture) -> None:
    block = {
        "podSelector": {},
        "policyTypes": ["Ingress"],
        "ingress": [{"from": [{"ipBlock": {"cidr": "?"}}]}],
    }
    emulator = Emulator()
    emulator.put(POLICIES, policy("odd", block))
    async with at_work(emulator, "NetworkPolicy") as working:
        await working.synced()
        assert isinstance(working.reflector.objects["shop/odd"], NetworkPolicy)
        (mistake,) = working.reflector.mistakes["shop/odd"]
        assert str(mistake).startswith("spec.ingress[0].from[0].ipBlock.cidr: ")
        emulator.put(POLICIES, policy("odd", {**block, "egress": []}))  # wrong as before: nothing new to tell
        emulator.put(POLICIES, policy("odd", {**block, "ingress": []}))
        await working.until(lambda: not working.reflector.mistakes)
    (told,) = [record for record in caplog.records if record.__dict__.get("event") == "object.mistakes"]
    assert told.__dict__["key"] == "shop/odd"
