"""Objects and what happened to them since the last compaction: what etcd and a watch cache hold."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

Raw: TypeAlias = dict[str, object]
Change: TypeAlias = Literal["ADDED", "MODIFIED", "DELETED"]


@dataclass(frozen=True, slots=True)
class Happened:
    """One change; `text` is the object as JSON, as it was stored or, when deleted, as it was last."""

    version: int
    path: str
    change: Change
    text: bytes


@dataclass(slots=True)
class History:
    """`objects[path][key]` is the JSON text of an object. Versions count up over all paths."""

    version: int = 21000
    compacted: int = 21000
    objects: dict[str, dict[str, bytes]] = field(default_factory=dict)
    happened: list[Happened] = field(default_factory=list)
    born: int = 0

    def put(self, path: str, raw: Mapping[str, object]) -> Happened:
        """Create or replace an object. It keeps its uid as long as it is not deleted."""
        stored: Raw = json.loads(json.dumps(raw))
        for type_ in ("kind", "apiVersion"):
            stored.pop(type_, None)  # a list does not say them for each of its items
        metadata = stored.setdefault("metadata", {})
        assert isinstance(metadata, dict)
        key = key_of(metadata)
        old = self.of(path).get(key)
        if old is None:
            self.born += 1
            metadata.setdefault("uid", f"32272326-81c4-4002-9b76-{self.born:012x}")
        else:
            metadata["uid"] = json.loads(old)["metadata"]["uid"]
        metadata.setdefault("creationTimestamp", "2026-11-23T21:47:57Z")
        return self._happen(path, key, "ADDED" if old is None else "MODIFIED", stored)

    def delete(self, path: str, key: str) -> Happened:
        """Delete an object at once, without grace."""
        return self._happen(path, key, "DELETED", json.loads(self.of(path)[key]))

    def _happen(self, path: str, key: str, change: Change, raw: Raw) -> Happened:
        self.version += 1
        metadata = raw["metadata"]
        assert isinstance(metadata, dict)
        metadata["resourceVersion"] = str(self.version)
        happened = Happened(self.version, path, change, to_json(raw))
        self.happened.append(happened)
        if change == "DELETED":
            del self.of(path)[key]
        else:
            self.of(path)[key] = happened.text
        return happened

    def of(self, path: str) -> dict[str, bytes]:
        return self.objects.setdefault(path, {})

    def listed(self, path: str) -> Iterator[tuple[str, bytes]]:
        """What exists, in the order of keys."""
        yield from sorted(self.of(path).items())

    def since(self, path: str, version: int) -> Iterator[Happened]:
        yield from (item for item in self.happened if item.path == path and item.version > version)

    def compact(self) -> None:
        """Forget what happened up to now."""
        self.compacted = self.version
        self.happened.clear()

    def backup(self) -> History:
        return replace(self, objects={path: dict(items) for path, items in self.objects.items()}, happened=[])

    def restore(self, backup: History) -> None:
        """Go back: versions are counted from there again."""
        self.version = self.compacted = backup.version
        self.objects = {path: dict(items) for path, items in backup.objects.items()}
        self.happened.clear()


def key_of(metadata: Mapping[str, object]) -> str:
    namespace = metadata.get("namespace")
    return f"{namespace}/{metadata['name']}" if namespace else str(metadata["name"])


def to_json(raw: object) -> bytes:
    return json.dumps(raw, separators=(",", ":")).encode()
