"""What the API server says of Services and of what is behind them, for pods judged by Services' addresses."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from policyd.cluster.events import Delete, Event, Synced, Upsert
from policyd.cluster.served import served_of
from policyd.kube.registry import SERVED
from policyd.kube.workloads import EndpointSlice, Service
from policyd_compiler.served import Served


class KnownServices:
    """Services and EndpointSlices. Single writer, no I/O."""

    def __init__(self) -> None:
        self._services: dict[str, Service] = {}
        self._slices: dict[str, EndpointSlice] = {}
        self._synced: set[str] = set()
        self._said = 0
        self._served: tuple[int, Served] | None = None  # after how much was said
        #: Called whenever something was said of them.
        self.on_change: list[Callable[[], None]] = []

    @property
    def is_complete(self) -> bool:
        """Whether both kinds have been complete once."""
        return self._synced.issuperset(SERVED.names)

    def served(self) -> Served:
        """What they come to: the same object until something changes. In a thread, while more may be said."""
        said, known = self._said, self._served
        if known is None or known[0] != said:
            known = self._served = said, served_of((*self._services.values(),), (*self._slices.values(),))
        return known[1]

    def beside(self, others: Callable[[Sequence[Event]], None]) -> Callable[[Sequence[Event]], None]:
        """Who takes what is said: of these kinds this, of all others `others`."""

        def take(events: Sequence[Event]) -> None:
            rest = [event for event in events if not self._take(event)]
            if len(rest) < len(events):
                self._said += 1
                for call in self.on_change:
                    call()
            if rest:
                others(rest)

        return take

    def _take(self, event: Event) -> bool:
        match event:
            case Upsert(key, Service() as service):
                self._services[key] = service
            case Upsert(key, EndpointSlice() as part):
                self._slices[key] = part
            case Delete("Service", key):
                self._services.pop(key, None)
            case Delete("EndpointSlice", key):
                self._slices.pop(key, None)
            case Synced(kind) if kind in SERVED.names:
                self._synced.add(kind)
            case _:
                return False
        return True
