"""The API server as a source of objects: one reflector for each kind, on one connection."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence

from policyd.agent.reporting.conditions import Condition, of_watches
from policyd.agent.reporting.status import Known
from policyd.cluster.events import Event
from policyd.config import Settings
from policyd.kube.kind import Kinds
from policyd.kube.registry import KINDS
from policyd.obs.metrics import Metrics
from policyd.watcher.event_writer import NodeEvent, write_event
from policyd.watcher.reflector import Reflector
from policyd.watcher.status import WatchStatus
from policyd.watcher.transport import Connection, connect, find_access


class LiveSource:
    """Gives a sink what the API server says."""

    def __init__(
        self, connection: Connection, sink: Callable[[Sequence[Event]], None], kinds: Kinds = KINDS
    ) -> None:
        self._connection = connection
        self._reflectors = tuple(Reflector(kind, connection, sink) for kind in kinds)

    @classmethod
    async def open(
        cls, settings: Settings, sink: Callable[[Sequence[Event]], None], kinds: Kinds = KINDS
    ) -> LiveSource:
        """Find the configuration. Raises EnvironmentRefused if there is none that can be used."""
        access = find_access(settings.kubeconfig or None, settings.context or None, os.environ)
        return cls(await connect(access), sink, kinds)

    async def run(self) -> None:
        """List and watch until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for reflector in self._reflectors:
                    group.create_task(reflector.run())
        except asyncio.CancelledError:  # else it is run again
            await self._connection.close()
            raise

    async def write_event(self, event: NodeEvent) -> int:
        """Report something about the node to the API server; how often it was. Raises WatchError."""
        return await write_event(self._connection, event)

    def statuses(self) -> tuple[WatchStatus, ...]:
        """How each watch fares."""
        return tuple(reflector.status() for reflector in self._reflectors)

    def answers_for(self, kind: str) -> bool:
        """Whether all objects of a kind are known, as far as one can tell."""
        return any(s.kind == kind and s.synced and s.trouble is None for s in self.statuses())

    def known(self) -> tuple[Known, ...]:
        """What is known of each kind."""
        found = []
        for reflector in self._reflectors:
            status = reflector.status()
            mistakes = {key: tuple(map(str, found)) for key, found in reflector.mistakes.items()}
            found.append(Known(status.kind, status.objects, status.stale_seconds, mistakes))
        return tuple(found)

    def conditions(self) -> tuple[Condition, ...]:
        """What keeps changes from arriving."""
        return of_watches(self.statuses())

    def report(self, metrics: Metrics) -> None:
        """Bring the metrics up to date."""
        for status in self.statuses():
            metrics.objects.labels(status.kind).set(status.objects)
            metrics.mistaken.labels(status.kind).set(status.mistaken)
            if status.stale_seconds is not None:
                metrics.staleness.labels(status.kind).set(status.stale_seconds)
            metrics.count_restarts(status.kind, status.restarts.items())
