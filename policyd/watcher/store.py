"""The objects of one kind, by key, and what is wrong with them. Says what changed, and only that.

Objects are compared as decoded, so a change of what policyd does not use is no change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from policyd.cluster.events import Delete, Event, Upsert
from policyd.kube.objects import KubeObject
from policyd.kube.reading import Mistake

Mistakes: TypeAlias = tuple[Mistake, ...]


class Store:
    """What is known. `mistakes` holds only objects that have some."""

    def __init__(self, kind: str, before: Mapping[str, KubeObject] | None = None) -> None:
        self._kind = kind
        self._before = before or {}
        self.objects: dict[str, KubeObject] = {}
        self.mistakes: dict[str, Mistakes] = {}

    def put(self, key: str, item: KubeObject, mistakes: Mistakes) -> list[Event]:
        """The object exists and looks like this."""
        if mistakes:
            self.mistakes[key] = mistakes
        else:
            self.mistakes.pop(key, None)
        if self.objects.get(key) == item:
            return []
        before = self._before.get(key)
        # Of equal objects one is enough, and others hold the old one.
        self.objects[key] = before if before is not None and before == item else item
        return [Upsert(key, item)]

    def drop(self, key: str) -> list[Event]:
        """The object does not exist."""
        self.mistakes.pop(key, None)
        if self.objects.pop(key, None) is None:
            return []
        return [Delete(self._kind, key)]

    def listing(self) -> Store:
        """An empty store for a list that is on its way; `replace` takes it over when it is complete."""
        return Store(self._kind, self.objects)

    def replace(self, listing: Store) -> list[Event]:
        """What is in the listing is all there is: take it over, and say what that changes."""
        before, self.objects, self.mistakes = self.objects, listing.objects, listing.mistakes
        gone: list[Event] = [Delete(self._kind, key) for key in before if key not in self.objects]
        new = (Upsert(key, item) for key, item in self.objects.items() if before.get(key) is not item)
        return [*gone, *new]
