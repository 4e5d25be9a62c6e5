"""The agent: one TaskGroup in which every task has an owner, from start to a clean end.

On the way out the ruleset stays in force (decisions 7): only `policyd cleanup` removes it.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import struct

from policyd.agent.directory import DirectorySource
from policyd.agent.reconciler import Reconciler, Timing
from policyd.agent.store import ObjectStore
from policyd.applier.apply import Applier
from policyd.applier.choose import open_backend
from policyd.applier.monitor import TableMonitor
from policyd.config import Settings
from policyd.errors import EnvironmentRefused, PolicydError

log = logging.getLogger(__name__)

#: How long the last transaction may take on the way out; the orchestrator kills after thirty.
STOP_SECONDS = 20.0


async def run_agent(settings: Settings) -> None:
    """Enforce what the settings name on this node until SIGTERM or SIGINT.

    Raises EnvironmentRefused for what the machine lacks, and when another agent is at work here.
    """
    options = settings.options()
    with claim_node(options.table):
        nft = await open_backend(settings.backend)
        try:
            wake = asyncio.Event()
            store = ObjectStore(settings.node, wake)
            monitor = TableMonitor(options.table, wake.set)
            monitor.start()
            applier = Applier(nft, options.table, monitor)
            was_there = await applier.read_back()
            source = _source(settings, store, was_there=was_there)
            timing = Timing(verify_every=settings.verify_interval)
            reconciler = Reconciler(store, applier, monitor, settings.node, options, timing)
            log.info("agent started", extra={"node": settings.node, "backend": nft.describe()})
            await _until_told(source, reconciler, wake)
            monitor.close()
        finally:
            await nft.close()
    log.info("agent stopped; the ruleset stays in force", extra={"node": settings.node})


def _source(settings: Settings, store: ObjectStore, *, was_there: bool) -> DirectorySource:
    assert settings.manifests is not None  # noqa: S101 the command line has made sure
    return DirectorySource(
        settings.manifests, store.apply, recursive=settings.recursive, keep_until_good=was_there
    )


async def _until_told(source: DirectorySource, reconciler: Reconciler, wake: asyncio.Event) -> None:
    """Run the tasks until SIGTERM or SIGINT. A transaction that is under way is finished first."""
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    try:
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(source.run())
            working = group.create_task(reconciler.run(wake))
            await told.wait()
            reading.cancel()
            reconciler.stop(wake)
            await asyncio.wait([working], timeout=STOP_SECONDS)
            working.cancel()
    except* PolicydError as group_error:
        raise group_error.exceptions[0] from None


def claim_node(table: str) -> socket.socket:
    """Take the place of the one agent for a table; hold it as long as the socket is open.

    An abstract socket lives in the network namespace, as the table does: two agents meet wherever their
    files are, and a killed one leaves nothing. Raises EnvironmentRefused when the place is taken.
    """
    place = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    name = f"\0policyd/{table}"
    try:
        place.bind(name)
    except OSError as error:
        place.close()
        raise EnvironmentRefused(
            f"another policyd{_holder(name)} already enforces table inet {table} on this node; stop it first"
        ) from error
    place.listen(1)
    return place


def _holder(name: str) -> str:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
            other.settimeout(1)
            other.connect(name)
            pid, uid, _ = struct.unpack("3i", other.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    except OSError:
        return ""
    return f" (process {pid}, user {uid})"
