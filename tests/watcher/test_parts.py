"""The parts of the reflector that are functions of values: lines, stores, what refusals mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policyd.cluster.events import Delete, Event, Upsert
from policyd.kube.objects import Namespace
from policyd.watcher.failure import Reason
from policyd.watcher.lines import LineBuffer
from policyd.watcher.message import read_refusal
from policyd.watcher.pauses import DEFAULT_PAUSES, Backoff, Pauses, backoff
from policyd.watcher.store import Store
from tests.watcher.scene import replay

LINES = st.lists(st.binary(max_size=12).map(lambda line: line.replace(b"\n", b"")))


@given(LINES, st.data())
def test_lines_do_not_depend_on_how_they_are_cut(lines: list[bytes], data: st.DataObject) -> None:
    text = b"".join(line + b"\n" for line in lines) + b"rest"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)))))
    buffer = LineBuffer()
    read: list[bytes] = []
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        read.extend(buffer.feed(text[start:end]))
    assert read == [line for line in lines if line]


NAMES = st.sampled_from("abcdef")
OBJECTS = st.dictionaries(NAMES, st.sampled_from([(), (("team", "blue"),), (("team", "red"),)]))


def filled(objects: dict[str, tuple[tuple[str, str], ...]]) -> Store:
    store = Store("Namespace")
    for name, labels in objects.items():
        store.put(name, Namespace(name, labels), ())
    return store


@given(OBJECTS, OBJECTS)
def test_taking_over_a_list_says_what_differs_and_no_more(
    before: dict[str, tuple[tuple[str, str], ...]], after: dict[str, tuple[tuple[str, str], ...]]
) -> None:
    store = filled(before)
    known: list[Event] = [Upsert(name, item) for name, item in store.objects.items()]
    listing = store.listing()
    for name, labels in after.items():
        listing.put(name, Namespace(name, labels), ())
    old = dict(store.objects)
    events = store.replace(listing)
    assert replay([*known, *events]) == store.objects == filled(after).objects
    for name in before.keys() & after.keys():
        if before[name] == after[name]:
            assert store.objects[name] is old[name]
    assert {event for event in events if isinstance(event, Delete)} == {
        Delete("Namespace", name) for name in before.keys() - after.keys()
    }


def test_backoff_grows_to_its_bound_and_is_jittered() -> None:
    pauses = Pauses(first=0.2, most=30.0)
    assert [backoff(failures, 1.0, pauses) for failures in (0, 1, 2)] == pytest.approx([0.2, 0.4, 0.8])
    assert backoff(50, 1.0, pauses) == backoff(10**9, 1.0, pauses) == pauses.most
    assert backoff(50, 0.0, pauses) == 0.0


@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=40), st.none() | st.floats(0, 1e6))
def test_pauses_stay_within_their_bounds(chances: list[float], retry_after: float | None) -> None:
    chance = iter(chances)
    pauses = Backoff(DEFAULT_PAUSES, lambda: next(chance))
    least = min(retry_after or 0.0, DEFAULT_PAUSES.max_retry_after)
    for _ in chances:
        assert least <= pauses.fail(retry_after) <= least + DEFAULT_PAUSES.most


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (400, "refused"),
        (401, "unauthorized"),
        (403, "forbidden"),
        (404, "missing"),
        (406, "refused"),
        (410, "expired"),
        (429, "throttled"),
        (500, "server-error"),
        (503, "server-error"),
        (302, "refused"),
    ],
)
@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", ""),
        (b"Too many requests\n", "Too many requests"),
        (b"<html>\n<body>503</body>", "<html>"),
        (b'{"not": "a status"}', '{"not": "a status"}'),
        (b"\x00\x01", ""),
    ],
)
def test_a_status_code_means_the_same_whatever_the_body_is(
    code: int, reason: Reason, body: bytes, text: str
) -> None:
    error = read_refusal(code, body, 7.0)
    assert (error.reason, error.retry_after) == (reason, 7.0)
    assert error.text == (f"HTTP {code}: {text}" if text else f"HTTP {code}")


def test_the_server_wishes_in_the_body_too() -> None:
    body = b'{"kind":"Status","code":429,"message":"later","details":{"retryAfterSeconds":3}}'
    assert read_refusal(429, body, None).retry_after == 3.0
    assert read_refusal(429, body, 5.0).retry_after == 5.0


@pytest.mark.parametrize(
    ("retry_after", "seconds"), [("0", None), ("-5", None), ('"3"', None), ("9" * 400, 86400.0), ("60", 60.0)]
)
def test_an_absurd_retry_after_is_ignored(retry_after: str, seconds: float | None) -> None:
    """A pause is never less than none, and a number may have more digits than a float."""
    body = f'{{"kind": "Status", "code": 429, "details": {{"retryAfterSeconds": {retry_after}}}}}'.encode()
    assert read_refusal(429, body, None).retry_after == seconds
