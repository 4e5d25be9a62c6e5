"""How a reflector fares, as a value: for readiness, metrics and a person who asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from policyd.watcher.failure import Reason


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why nothing arrives at the moment."""

    reason: Reason
    text: str


@dataclass(frozen=True, slots=True)
class WatchStatus:
    """`synced`: everything has been said once; it stays true, as the last complete store keeps serving.

    `trouble` is None while a list or a watch is under way. `last_event` is when an object last changed, by
    the reflector's clock. `stale_seconds` is how long ago the store was known to be complete and current: at
    most about 60 on an idle cluster, as bookmarks come that often; None before the first complete list.
    `absent`: the kind is optional, and the server does not have it, which counts as no objects.
    `mistaken` are objects with mistakes; `nameless` counts what came without a usable name and is not kept.
    `closed` are policies, by key, that fail closed for what is not understood in them.
    """

    kind: str
    synced: bool
    absent: bool
    objects: int
    mistaken: int
    nameless: int
    trouble: Trouble | None
    last_event: float | None
    stale_seconds: float | None
    lists: int
    restarts: Mapping[Reason, int]
    closed: tuple[str, ...] = ()

    @property
    def forbidden(self) -> bool:
        """Whether the API server does not allow us to list or watch the kind."""
        return self.trouble is not None and self.trouble.reason == "forbidden"

    @property
    def missing(self) -> bool:
        """Whether the API server does not know the kind: its CustomResourceDefinition is not installed."""
        return self.trouble is not None and self.trouble.reason == "missing"
