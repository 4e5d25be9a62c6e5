"""The agent: puts its parts together, and runs them in one TaskGroup from start to a clean end.

On the way out the ruleset stays in force (decisions 7): only `policyd cleanup` removes it.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from dataclasses import asdict
from typing import Protocol

from policyd.agent.claim import claim_node
from policyd.agent.conditions import NAMES, Condition, of_reconciler
from policyd.agent.directory import DirectorySource
from policyd.agent.http import make_app, serve
from policyd.agent.live import LiveSource
from policyd.agent.reconciler import Reconciler, Target, Timing
from policyd.agent.revoker import Revoker
from policyd.agent.store import ObjectStore
from policyd.applier.apply import Applier
from policyd.applier.choose import open_backend
from policyd.applier.monitor import TableMonitor
from policyd.config import Settings
from policyd.errors import PolicydError
from policyd.obs.metrics import Metrics
from policyd_compiler.nft.printer import print_replace
from policyd_compiler.nft.stamp import stamp

log = logging.getLogger(__name__)

#: How long the last transaction may take on the way out; the orchestrator kills after thirty.
STOP_SECONDS = 20.0


class Source(Protocol):
    """Where objects come from: the API server, or a directory."""

    async def run(self) -> None:
        """Tell the store what there is and what changes, until cancelled."""

    def conditions(self) -> tuple[Condition, ...]:
        """What keeps it from telling."""

    def report(self, metrics: Metrics) -> None:
        """Bring the metrics up to date."""


async def run_agent(settings: Settings, version: str) -> None:
    """Enforce what the settings name on this node until SIGTERM or SIGINT. `version` is for whoever asks.

    Raises EnvironmentRefused for what the machine lacks, and when another agent is at work here.
    """
    options = settings.options()
    with claim_node(options.table):
        nft = await open_backend(settings.backend)
        monitor: TableMonitor | None = None
        try:
            wake = asyncio.Event()
            store = ObjectStore(settings.node, wake)
            monitor = TableMonitor(options.table, wake.set)
            monitor.start()
            applier = Applier(nft, options.table, monitor)
            was_there = await applier.read_back()
            source = await _open_source(settings, store, was_there=was_there)
            timing = Timing(verify_every=settings.verify_interval)
            metrics = Metrics()
            metrics.build_info.info({"version": version, "backend": nft.describe()})
            target = Target(settings.node, options)
            reconciler = Reconciler(store, applier, monitor, target, timing, metrics)
            revoker = Revoker(metrics) if settings.live_connections == "cut" else None
            if revoker is not None:
                reconciler.on_swap = revoker.note
            fields = {"event": "agent.started", "node": settings.node, "backend": nft.describe()}
            log.info("agent started", extra=fields)
            await _Agent(settings, store, source, reconciler, revoker, metrics).run(wake)
        finally:
            if monitor is not None:
                monitor.close()
            await nft.close()
    fields = {"event": "agent.stopped", "node": settings.node}
    log.info("agent stopped; the ruleset stays in force", extra=fields)


async def _open_source(settings: Settings, store: ObjectStore, *, was_there: bool) -> Source:
    if settings.manifests is None:
        return await LiveSource.open(settings, store.apply)
    return DirectorySource(
        settings.manifests, store.apply, recursive=settings.recursive, keep_until_good=was_there
    )


class _Agent:
    """The tasks, and what is told of them over HTTP."""

    def __init__(
        self,
        settings: Settings,
        store: ObjectStore,
        source: Source,
        reconciler: Reconciler,
        revoker: Revoker | None,
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._store, self._source, self._reconciler = store, source, reconciler
        self._revoker = revoker
        self._metrics = metrics

    async def run(self, wake: asyncio.Event) -> None:
        """Run until SIGTERM or SIGINT. A transaction that is under way is finished first."""
        told = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, told.set)
        runner = None
        if self._settings.listen:
            app = make_app(self._render, self._unready, self._state, self._ruleset)
            runner = await serve(app, self._settings.listen)
        try:
            async with asyncio.TaskGroup() as group:
                reading = group.create_task(self._source.run())
                working = group.create_task(self._reconciler.run(wake))
                ending = group.create_task(self._revoker.run()) if self._revoker else None
                await told.wait()
                reading.cancel()
                self._reconciler.stop(wake)
                await asyncio.wait([working], timeout=STOP_SECONDS)
                working.cancel()
                if ending is not None:
                    ending.cancel()
        except* PolicydError as group_error:
            raise group_error.exceptions[0] from None
        finally:
            if runner is not None:
                await runner.cleanup()

    def conditions(self) -> tuple[Condition, ...]:
        """Everything that is not as it should be."""
        return (
            *of_reconciler(self._reconciler.status, self._store.waiting_for),
            *self._source.conditions(),
            *(self._revoker.conditions() if self._revoker else ()),
        )

    def _unready(self) -> tuple[tuple[str, str], ...]:
        return tuple((c.name, c.text) for c in self.conditions() if c.untrue)

    def _render(self) -> bytes:
        conditions = self.conditions()
        self._metrics.set_conditions({name: any(c.name == name for c in conditions) for name in NAMES})
        self._metrics.enforcing.set(not any(c.untrue for c in conditions))
        self._source.report(self._metrics)
        self._reconciler.status.report(self._metrics)
        return self._metrics.render()

    def _ruleset(self) -> str:
        """The script of what is in force: what `policyd compile --live --generation N` prints."""
        status = self._reconciler.status
        if status.table is None or status.enforced is None:
            return ""
        return print_replace(stamp(status.table, status.enforced.generation))

    def _state(self) -> dict[str, object]:
        status = self._reconciler.status
        return {
            "settings": self._settings.model_dump(mode="json"),
            "conditions": [asdict(condition) for condition in self.conditions()],
            "enforced": asdict(status.enforced) if status.enforced else None,
            "refused": status.refused,
            "repairs": status.repairs,
            "verified": status.verified,
        }
