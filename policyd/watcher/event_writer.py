"""Writes Events about a Node, one for each reason, so that `kubectl describe node` shows what is wrong.

An Event that is there is brought up to date, never doubled. Needs the verbs create and patch, and no other.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from policyd.watcher.failure import refusal

#: Events about objects without a namespace live in this one.
NAMESPACE = "default"
_PATH = f"/api/v1/namespaces/{NAMESPACE}/events"
_COMPONENT = "policyd"
_SECONDS = 10.0
#: The API server takes no longer names, and shows no longer messages.
_LONGEST_NODE, _LONGEST_MESSAGE = 180, 1000


class Sender(Protocol):
    """What is needed of a Connection."""

    async def send(
        self, method: Literal["POST", "PATCH"], path: str, body: Mapping[str, object], seconds: float
    ) -> tuple[int, bytes]:
        """Write; the status and the body of the answer. WatchError if there was none."""


@dataclass(frozen=True, slots=True)
class NodeEvent:
    """What is to be told of a node. `topic` distinguishes Events; `count` 1 is the first time. Wall clock."""

    node: str
    topic: str
    type: Literal["Normal", "Warning"]
    message: str
    count: int
    first: float
    last: float


async def write_event(sender: Sender, event: NodeEvent) -> int:
    """Write it; the count that the Event has now, which may be there from before. Raises WatchError."""
    place = f"{_PATH}/{_name(event)}"
    if event.count > 1:
        status, body = await sender.send("PATCH", place, _changes(event), _SECONDS)
        if status != 404:
            return _count(status, body)
    status, body = await sender.send("POST", _PATH, _whole(event), _SECONDS)
    if status != 409:
        return _count(status, body)
    # An agent before us wrote it. Its count is in the answer; what was first stays.
    known = {key: value for key, value in _changes(event).items() if key != "count"}
    return _count(*await sender.send("PATCH", place, known, _SECONDS))


def _count(status: int, body: bytes) -> int:
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise refusal(status, "the answer is no JSON object")
    if not 200 <= status < 300:
        raise refusal(status, str(answer.get("message", "")))
    count = answer.get("count")
    return count if isinstance(count, int) else 1


def _name(event: NodeEvent) -> str:
    return f"{event.node[:_LONGEST_NODE].rstrip('.-')}.{_COMPONENT}-{event.topic}"


def _changes(event: NodeEvent) -> dict[str, object]:
    return {
        "type": event.type,
        "reason": "".join(word.capitalize() for word in event.topic.split("-")),
        "message": event.message[:_LONGEST_MESSAGE],
        "count": event.count,
        "lastTimestamp": _time(event.last),
    }


def _whole(event: NodeEvent) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": _name(event), "namespace": NAMESPACE},
        # As kubelets do: who describes a node looks for Events by its name in the place of the uid.
        "involvedObject": {"apiVersion": "v1", "kind": "Node", "name": event.node, "uid": event.node},
        "source": {"component": _COMPONENT, "host": event.node},
        "reportingComponent": _COMPONENT,
        "reportingInstance": event.node,
        "firstTimestamp": _time(event.first),
        **_changes(event),
    }


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
