"""Raw metadata → what we use of it. Read for every object, so paths are made only when something is wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from policyd.kube.objects import Labels
from policyd.kube.reading import Mistake, Path, Reading
from policyd.kube.syntax import (
    dns_label_mistake,
    label_key_mistake,
    label_value_mistake,
    legal_name,
)

if TYPE_CHECKING:
    from policyd.kube.kind import Kind

FIELDS = (
    "name",
    "namespace",
    "labels",
    "annotations",
    "uid",
    "resourceVersion",
    "generation",
    "generateName",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
    "ownerReferences",
    "finalizers",
    "selfLink",
)
_FIELDS = frozenset(FIELDS)
_LABELS: Path = ("metadata", "labels")
_UTC_SECONDS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)


@dataclass(frozen=True, slots=True)
class Metadata:
    """`namespace` is "" for kinds that have none; `created` is canonical RFC 3339 or "".

    `version` is the resourceVersion as a number, by which versions of a kind are compared (KEP-5504), or 0.
    """

    namespace: str
    name: str
    uid: str
    labels: Labels
    created: str
    deleting: bool
    version: int = 0


def decode_metadata(kind: Kind[Any], raw: object, reading: Reading) -> Metadata | None:
    """Read metadata; None if there is no name, without which nothing can be said about the object."""
    metadata = reading.mapping(raw, ("metadata",))
    if metadata is None:
        return None
    if not metadata.keys() <= _FIELDS:
        reading.fields(metadata, ("metadata",), FIELDS)
    name = _decode_name(kind, metadata, reading)
    namespace = _decode_namespace(kind, metadata, reading)
    if not name or namespace is None:
        return None
    if metadata.get("annotations") is not None:
        _check_annotations(metadata["annotations"], reading)
    return Metadata(
        namespace,
        name,
        reading.text(metadata.get("uid"), ("metadata", "uid")) or "",
        decode_labels(metadata.get("labels"), reading),
        decode_time(metadata.get("creationTimestamp"), ("metadata", "creationTimestamp"), reading),
        decode_time(metadata.get("deletionTimestamp"), ("metadata", "deletionTimestamp"), reading) != "",
        _decode_version(metadata.get("resourceVersion")),
    )


def _decode_version(raw: object) -> int:
    """What is no number is nothing to compare, and no mistake: versions are for servers to make."""
    return int(raw) if isinstance(raw, str) and raw.isascii() and raw.isdigit() and len(raw) <= 20 else 0


def _decode_name(kind: Kind[Any], metadata: Mapping[str, object], reading: Reading) -> str | None:
    name = reading.text(metadata.get("name"), ("metadata", "name"))
    if name == "":
        why = (
            ": generateName is for the API server, here a name is needed"
            if metadata.get("generateName")
            else ""
        )
        reading.error(("metadata", "name"), f"required{why}")
    elif name is not None and not reading.error(("metadata", "name"), kind.name_mistake(name)):
        return legal_name(name)
    return name


def _decode_namespace(kind: Kind[Any], metadata: Mapping[str, object], reading: Reading) -> str | None:
    """The namespace, or the default one (NP-011). A kind that has none must not name one."""
    namespace = metadata.get("namespace")
    if kind.namespaced and namespace is not None and namespace != "":
        text = reading.text(namespace, ("metadata", "namespace"))
        if text is not None and not reading.error(("metadata", "namespace"), dns_label_mistake(text)):
            return legal_name(text)
        return text
    if not kind.namespaced:
        if namespace is not None and namespace != "":
            reading.error(("metadata", "namespace"), f"a {kind.name} has no namespace")
        return ""
    return reading.options.namespace


def _check_annotations(raw: object, reading: Reading) -> None:
    for key, value in (reading.mapping(raw, ("metadata", "annotations")) or {}).items():
        reading.text(value, ("metadata", "annotations", key))


def decode_labels(raw: object, reading: Reading, path: Path = _LABELS) -> Labels:
    """Sorted labels. One that is no string is left out, with a mistake."""
    if isinstance(raw, dict):
        try:
            # Pods of one template have the same labels, so most have been seen before.
            return _good_labels(tuple(raw.items()))
        except (TypeError, ValueError):
            pass  # something is wrong with them: look again and say what
    labels = reading.mapping(raw, path)
    out: list[tuple[str, str]] = []
    for key, value in (labels or {}).items():
        if (mistake := label_key_mistake(key)) is not None:
            reading.mistakes.append(Mistake((*path, key), mistake, at="key"))
        text = reading.text(value, (*path, key))
        if text is not None:
            reading.error((*path, key), label_value_mistake(text))
            out.append((key, text))
    return tuple(sorted(out))


@lru_cache(maxsize=4096)
def _good_labels(items: tuple[tuple[str, object], ...]) -> Labels:
    """Labels with nothing wrong in them; ValueError or TypeError otherwise."""
    out: list[tuple[str, str]] = []
    for key, value in items:
        if not isinstance(value, str) or label_key_mistake(key) or label_value_mistake(value):
            raise ValueError(key)
        out.append((key, value))
    return tuple(sorted(out))


def decode_time(raw: object, path: Path, reading: Reading) -> str:
    """A time in UTC and whole seconds, as the API server stores it, so that texts sort by time; or ""."""
    text = reading.text(raw, path)
    if not text or _UTC_SECONDS.fullmatch(text):
        return text or ""
    try:
        time = datetime.fromisoformat(text.replace("z", "Z").replace("t", "T"))
        if time.tzinfo is None or "T" not in text.upper():
            raise ValueError(text)
        return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError):
        reading.error(path, "must be a time such as 2026-01-31T12:00:00Z")
        return ""
