"""What the kubelet's Pods API says (KEP-4188, `v1alpha1.Pods` of Kubernetes 1.37): bytes → pods. Pure.

A pod comes as `v1.Pod` in protobuf. What policyd needs of it becomes the shape that it has as JSON, and is
read by `policyd.kube` as what the API server says: so both mean the same. The numbers of the fields are those
of `generated.proto` in k8s.io/api/core/v1 and k8s.io/apimachinery/pkg/apis/meta/v1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, TypeAlias, cast

from policyd.kube.decode import decode_live
from policyd.kube.objects import Pod
from policyd.kube.registry import POD
from policyd.kubelet.protobuf import Value, fields

WATCH: Final = "/v1alpha1.Pods/WatchPods"

What: TypeAlias = Literal["is", "ended", "complete", "other"]
#: ADDED and MODIFIED say how a pod is now; DELETED that its containers have ended for good, while it may stay
#: in the API; INITIAL_SYNC_COMPLETE that all have been said.
_EVENTS: Final[Mapping[int, What]] = {1: "is", 2: "is", 3: "ended", 4: "complete"}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Said:
    """One event. Of a pod that ended only name, namespace and uid are known; without a usable name: None."""

    what: What
    pod: Pod | None = None
    mistakes: tuple[str, ...] = ()


def read_event(message: bytes) -> Said:
    """Read a WatchPodsEvent. Raises ValueError for what is none."""
    kind, body = 0, b""
    for number, value in fields(message):
        if number == 1 and isinstance(value, int):
            kind = value
        elif number == 2 and isinstance(value, bytes):
            body = value
    what = _EVENTS.get(kind, "other")
    if what not in ("is", "ended"):
        return Said(what)
    decoded = decode_live(_read(body, _POD), POD)
    return Said(what, cast(Pod | None, decoded.item), tuple(map(str, decoded.mistakes)))


# A field is its name and how its value is read; `many`: it may come several times, and is a list.
@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    read: Callable[[Value], object]
    many: bool = False


_Shape: TypeAlias = Mapping[int, _Field]


def _read(message: bytes, shape: _Shape) -> dict[str, Any]:
    """A message as a mapping. What is empty is left out, as in JSON: protobuf writes empty texts, too."""
    found: dict[str, Any] = {}
    for number, value in fields(message):
        field = shape.get(number)
        if field is None:
            continue
        read = field.read(value)
        if field.many:
            found.setdefault(field.name, []).append(read)
        elif isinstance(read, dict) and isinstance(before := found.get(field.name), dict):
            before.update(read)  # a map comes entry by entry, and a message may come in parts
        elif read != "":
            found[field.name] = read
    return found


def _bytes(value: Value) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number where a text or a message must be")
    return value


def _number(value: Value) -> int:
    if not isinstance(value, int):
        raise ValueError("no number where one must be")
    return value


def _text(value: Value) -> str:
    return _bytes(value).decode()


def _flag(value: Value) -> bool:
    return _number(value) != 0


def _message(shape: _Shape) -> Callable[[Value], dict[str, Any]]:
    return lambda value: _read(_bytes(value), shape)


def _entry(value: Value) -> dict[str, str]:
    """An entry of a map from text to text, as a mapping of one."""
    entry = _read(_bytes(value), _ENTRY)
    return {entry.get("key", ""): entry.get("value", "")}


def _time(value: Value) -> str:
    """A moment as JSON has it; before 1970 there are no pods."""
    seconds = _read(_bytes(value), {1: _Field("seconds", _number)}).get("seconds", 0)
    try:
        return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    except OverflowError as error:
        raise ValueError("a time that is none") from error


_ENTRY: Final[_Shape] = {1: _Field("key", _text), 2: _Field("value", _text)}
_PORT: Final[_Shape] = {
    1: _Field("name", _text),
    3: _Field("containerPort", _number),
    4: _Field("protocol", _text),
}
_CONTAINER: Final[_Shape] = {
    1: _Field("name", _text),
    6: _Field("ports", _message(_PORT), many=True),
    24: _Field("restartPolicy", _text),
}
_METADATA: Final[_Shape] = {
    1: _Field("name", _text),
    3: _Field("namespace", _text),
    5: _Field("uid", _text),
    6: _Field("resourceVersion", _text),
    8: _Field("creationTimestamp", _time),
    9: _Field("deletionTimestamp", _time),
    11: _Field("labels", _entry),
}
_SPEC: Final[_Shape] = {
    2: _Field("containers", _message(_CONTAINER), many=True),
    10: _Field("nodeName", _text),
    11: _Field("hostNetwork", _flag),
    20: _Field("initContainers", _message(_CONTAINER), many=True),
}
_STATUS: Final[_Shape] = {
    1: _Field("phase", _text),
    6: _Field("podIP", _text),
    7: _Field("startTime", _time),
    12: _Field("podIPs", _message({1: _Field("ip", _text)}), many=True),
}
_POD: Final[_Shape] = {
    1: _Field("metadata", _message(_METADATA)),
    2: _Field("spec", _message(_SPEC)),
    3: _Field("status", _message(_STATUS)),
}
