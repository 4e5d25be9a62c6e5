"""The reader of what an API server sends, in chunks cut anywhere: the reflector itself, without a loop."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

from policyd.cluster.events import Delete, Event, Synced, Upsert
from policyd.kube.kind import Kind
from policyd.kube.objects import KubeObject
from policyd.kube.registry import KINDS
from policyd.watcher.discovery import served_version
from policyd.watcher.failure import WatchError
from policyd.watcher.pauses import Pauses
from policyd.watcher.reflector import Reflector, Timing
from policyd.watcher.resource import Query
from policyd.watcher.transport import Answer
from tests.fuzz.mutations import JSON_LINES
from tests.fuzz.readers import OBJECTS
from tests.fuzz.target import Target
from tests.oracle import Manifest
from tests.support.widget import WIDGET

#: A line that begins like this is no line of an answer: it ends one, and says the code of the next.
MARK = b"HTTP "
NO_PAUSES = Pauses(0.0, 0.0, 0.0, 60.0)


class Over(BaseException):
    """Everything has been said."""


class Said:
    """A transport that gives one answer after another, each in the chunks that `random` cuts."""

    def __init__(self, text: bytes, random: Random | None) -> None:
        self._answers = answers(text)
        self._random = random

    @asynccontextmanager
    async def get(self, path: str, query: Query, accept: str, seconds: float) -> AsyncIterator[Answer]:
        """The next answer, whatever is asked."""
        if not self._answers:
            raise Over
        status, body = self._answers.pop(0)
        yield Answer(status, None, self._chunks(body))

    async def _chunks(self, body: bytes) -> AsyncIterator[bytes]:
        at = 0
        while at < len(body):
            size = len(body) if self._random is None else self._random.choice((1, 7, 100, 1000))
            yield body[at : at + size]
            at += size

    async def renew(self) -> None:
        """There are no credentials."""


def answers(text: bytes) -> list[tuple[int, bytes]]:
    """The answers that an input holds."""
    found: list[tuple[int, list[bytes]]] = [(200, [])]
    for line in text.split(b"\n"):
        if line.startswith(MARK):
            number = line[len(MARK) :][:3]
            found.append((int(number) if number.isdigit() else 200, []))
        else:
            found[-1][1].append(line + b"\n")
    return [(status, b"".join(lines)) for status, lines in found]


def hear(kind: Kind[Any], text: bytes, random: Random | None) -> tuple[dict[str, KubeObject], str]:
    """Run a reflector on the input: the objects at its end, and what it says of itself."""
    told: dict[str, KubeObject] = {}

    def sink(events: Sequence[Event]) -> None:
        for event in events:
            match event:
                case Upsert(key, item):
                    told[key] = item
                case Delete(_, key):
                    del told[key]
                case Synced():
                    pass

    async def sleep(seconds: float) -> None:
        assert 0 < seconds <= NO_PAUSES.max_retry_after

    timing = Timing(clock=lambda: 0.0, sleep=sleep, random=lambda: 0.0, pauses=NO_PAUSES)
    reflector = Reflector(kind, Said(text, random), sink, timing)
    try:
        reflector.run().send(None)
    except Over:
        pass
    else:
        raise AssertionError("the reflector waits for something")
    assert told == reflector.objects
    return told, str(reflector.status())


def read(text: bytes) -> str:
    """However it is cut, the same is heard."""
    random = Random(len(text))
    kind = random.choice(tuple(KINDS))
    whole, said = hear(kind, text, None)
    assert hear(kind, text, random) == (whole, said)
    return f"{len(whole)} objects, {said}"


def watch_reader(_directory: Path) -> Target:
    """A streamed list, a watch with every kind of event, a paged list, refusals."""
    streamed, changed = _lines(*STREAMED), _lines(*CHANGES)
    refused = MARK + b"429\n" + json.dumps(STATUS).encode() + b"\n" + MARK + b"400\nno stream here\n"
    good = (
        streamed,
        streamed + MARK + b"200\n" + changed,
        streamed + MARK + b"200\n" + changed + MARK + b"200\n" + streamed,
        MARK
        + b"400\n"
        + MARK
        + b"200\n"
        + json.dumps(FIRST_PAGE).encode()
        + b"\n"
        + MARK
        + b"200\n"
        + json.dumps(LAST_PAGE).encode(),
        refused + streamed,
    )
    return Target("watch", read, good, JSON_LINES)


def read_discovery(text: bytes) -> str:
    """However it is cut, the same is understood."""
    found = [_asked(text, cut) for cut in (None, Random(len(text)))]
    assert found[0] == found[1]
    return found[0]


def _asked(text: bytes, random: Random | None) -> str:
    try:
        served_version(Said(text, random), WIDGET).send(None)
    except StopIteration as done:
        return f"served as {done.value}"
    except WatchError as error:
        return error.reason
    except Over:
        return "more is asked"
    raise AssertionError("it waits for something")


def discovery_reader(_directory: Path) -> Target:
    """The kind in the version that is read, in another one, in none; and no such group."""
    answer = [json.dumps(each).encode() + b"\n" for each in (HERE, GROUPS, OTHERS, NO_GROUPS)]
    here, groups, others, none = answer
    next_, gone = MARK + b"200\n", MARK + b"404\n"
    good = (
        here,
        others + next_ + groups + next_ + here,
        others + next_ + groups + next_ + others,
        gone + next_ + none,
    )
    return Target("discovery", read_discovery, good, JSON_LINES)


def _event(kind: str, item: Manifest, version: int) -> Manifest:
    return {
        "type": kind,
        "object": {**item, "metadata": {**item["metadata"], "resourceVersion": str(version)}},
    }


def _lines(*events: Manifest) -> bytes:
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


END: Manifest = {"metadata": {"resourceVersion": "9", "annotations": {"k8s.io/initial-events-end": "true"}}}
STATUS: Manifest = {
    "kind": "Status",
    "metadata": {},
    "message": "too old resource version",
    "reason": "Expired",
    "code": 410,
    "details": {"retryAfterSeconds": 1, "causes": [{"reason": "ResourceVersionTooLarge"}]},
}
HERE: Manifest = {
    "kind": "APIResourceList",
    "groupVersion": WIDGET.version,
    "resources": [{"name": WIDGET.plural, "kind": WIDGET.name, "verbs": ["list", "watch"]}],
}
OTHERS: Manifest = {**HERE, "resources": [{"name": "gadgets"}]}
GROUPS: Manifest = {
    "kind": "APIGroupList",
    "groups": [
        {
            "name": WIDGET.group,
            "versions": [{"groupVersion": f"{WIDGET.group}/{v}", "version": v} for v in ("v1", "v2")],
        }
    ],
}
NO_GROUPS: Manifest = {"kind": "APIGroupList", "groups": []}
STREAMED = (
    *(_event("ADDED", item, number) for number, item in enumerate(OBJECTS)),
    {"type": "BOOKMARK", "object": END},
)
CHANGES = (
    _event("MODIFIED", {**OBJECTS[1], "status": {}}, 10),
    _event("DELETED", OBJECTS[4], 11),
    {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "12"}}},
    {"type": "ERROR", "object": STATUS},
)
FIRST_PAGE: Manifest = {"metadata": {"resourceVersion": "9", "continue": "more"}, "items": list(OBJECTS[:3])}
LAST_PAGE: Manifest = {"metadata": {"resourceVersion": "9"}, "items": list(OBJECTS[3:])}
