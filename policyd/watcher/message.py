"""Bytes of a watch line or of a list page → what they say. Pure; what a field means policyd.kube knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from pydantic_core import from_json

from policyd.kube.decode import Decoded, decode_live
from policyd.kube.kind import Kind
from policyd.watcher.failure import WatchError, refusal

#: A number of any length is JSON; a Retry-After is bounded anyhow (pauses.py).
MAX_RETRY_AFTER = 24 * 3600
#: On the bookmark that ends a streamed list.
LIST_ENDS = "k8s.io/initial-events-end"


@dataclass(frozen=True, slots=True)
class Exists:
    """An object is there and looks like this."""

    decoded: Decoded
    version: str


@dataclass(frozen=True, slots=True)
class Gone:
    """An object is no longer there; `decoded` is how it looked at the end."""

    decoded: Decoded
    version: str


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Everything up to this version has been said; `ends_list`: the streamed list is complete."""

    version: str
    ends_list: bool


Message: TypeAlias = Exists | Gone | Bookmark


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list. `token` asks for the next one; "" if this is the last."""

    items: tuple[Decoded, ...]
    version: str
    token: str


def read_message(line: bytes, kind: Kind[Any]) -> Message:
    """Read one line of a watch; WatchError if it says that the watch is over, or says nothing sensible."""
    event = _read_json(line)
    if not isinstance(event, dict) or not isinstance(event.get("object"), dict):
        raise WatchError("malformed", "a line of the watch is not an event")
    raw: dict[str, object] = event["object"]
    match event.get("type"):
        case "ADDED" | "MODIFIED":
            return Exists(decode_live(raw, kind), _version(raw))
        case "DELETED":
            return Gone(decode_live(raw, kind), _version(raw))
        case "BOOKMARK":
            return _bookmark(raw)
        case "ERROR":
            raise read_status(raw)
        case _:
            raise WatchError("malformed", "a line of the watch has an unknown type")


def read_page(body: bytes, kind: Kind[Any]) -> Page:
    """Read one page of a list; WatchError if it is none."""
    page = _read_json(body)
    if not isinstance(page, dict) or not isinstance(page.get("items") or [], list):
        raise WatchError("malformed", "the answer is not a list")
    version = _version(page)
    if not version:
        raise WatchError("malformed", "the list has no resourceVersion")
    items = tuple(decode_live(raw, kind) for raw in page.get("items") or ())
    return Page(items, version, _text(_metadata(page).get("continue")))


def read_status(raw: dict[str, object]) -> WatchError:
    """What a Status object says, as an error."""
    code = raw.get("code")
    details = raw.get("details")
    details = details if isinstance(details, dict) else {}
    text = _text(raw.get("message")) or _text(raw.get("reason"))
    retry_after = details.get("retryAfterSeconds")
    seconds = (
        float(min(retry_after, MAX_RETRY_AFTER)) if isinstance(retry_after, int) and retry_after > 0 else None
    )
    error = refusal(code if isinstance(code, int) else 500, text, seconds)
    causes = details.get("causes")
    for cause in causes if isinstance(causes, list) else ():
        if isinstance(cause, dict) and cause.get("reason") == "ResourceVersionTooLarge":
            error.reason = "ahead"
    return error


def read_refusal(code: int, body: bytes, retry_after: float | None) -> WatchError:
    """What a response without success says: a Status, or the plain text that proxies and overload give."""
    try:
        raw = from_json(body)
    except ValueError:
        raw = None
    if isinstance(raw, dict) and isinstance(raw.get("code"), int):
        error = read_status(raw)
        error.retry_after = error.retry_after if retry_after is None else retry_after
        return error
    first = body.decode("utf-8", "replace").strip().partition("\n")[0]
    return refusal(code, first[:200] if first.isprintable() else "", retry_after)


def _read_json(text: bytes) -> object:
    try:
        value: object = from_json(text)
    except ValueError as error:
        # Only where, not what: environment variables of pods are nobody's business.
        raise WatchError("malformed", f"{len(text)} bytes that are not JSON: {error}") from error
    return value


def _bookmark(raw: dict[str, object]) -> Bookmark:
    annotations = _metadata(raw).get("annotations")
    ends = isinstance(annotations, dict) and annotations.get(LIST_ENDS) == "true"
    version = _version(raw)
    if not version:
        raise WatchError("malformed", "a bookmark has no resourceVersion")
    return Bookmark(version, ends)


def _metadata(raw: dict[str, object]) -> dict[str, object]:
    metadata = raw.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def _version(raw: dict[str, object]) -> str:
    return _text(_metadata(raw).get("resourceVersion"))


def _text(raw: object) -> str:
    return raw if isinstance(raw, str) else ""
