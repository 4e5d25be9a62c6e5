"""The agent: puts its parts together, and runs them in one TaskGroup from start to a clean end.

On the way out the ruleset stays in force (decisions 7): only `policyd cleanup` removes it.
"""

from __future__ import annotations

import asyncio
import logging
import platform
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from policyd.agent.attachment_watch import AttachmentWatch
from policyd.agent.builder import Target
from policyd.agent.connections.revoker import Revoker
from policyd.agent.gate import Gate
from policyd.agent.known_services import KnownServices
from policyd.agent.long_lived import LongLived
from policyd.agent.mesh_check import MeshCheck
from policyd.agent.node_watch import NodeWatch
from policyd.agent.plugin_keeper import keeper_of
from policyd.agent.pod_rules import PodRules
from policyd.agent.pod_table import Way
from policyd.agent.policy_check import PolicyCheck
from policyd.agent.prover import Prover, prove_apart
from policyd.agent.reconciler import LoopTiming, Reconciler
from policyd.agent.reporting.http import DEBUG, Listener, private, public
from policyd.agent.reporting.node_events import ConditionLog, EventPoster
from policyd.agent.reporting.report import Part, Reporter, Source
from policyd.agent.saver import Saver
from policyd.agent.sources.api_server import LiveSource
from policyd.agent.sources.cni_cache import CniCache
from policyd.agent.sources.directory import DirectorySource
from policyd.agent.sources.kubelet import KubeletPods
from policyd.agent.supervise import Supervised
from policyd.agent.table_watch import TableWatch
from policyd.agent.watchdog import watch_loop
from policyd.applier.apply import Applier
from policyd.applier.backend import Nft
from policyd.applier.choose import open_backend, retry_idempotent
from policyd.applier.in_place import InPlace
from policyd.applier.monitor import TableMonitor
from policyd.applier.pieces import Pieces
from policyd.applier.probe import replaces_are_atomic
from policyd.applier.program import NftProgram
from policyd.applier.worker import NftWorker
from policyd.cluster.events import Event
from policyd.cluster.state import MissingNamespaces
from policyd.config import Settings
from policyd.errors import EnvironmentRefused, PolicydError
from policyd.kube.registry import POD, followed
from policyd.netlink.claim import claim_node
from policyd.netlink.element_reader import ElementReader
from policyd.netlink.elements import ElementWriter
from policyd.netlink.inside import Inside
from policyd.node.attach import Hint
from policyd.node.bridge_guard import BridgeGuard
from policyd.node.element_trial import elements_unsupported_reason
from policyd.node.two_sources import TwoSources
from policyd.object_store import ObjectStore
from policyd.obs.metrics import Metrics
from policyd.threads import work_beside_loop

log = logging.getLogger(__name__)

#: For what would block the loop: each part does one such thing at a time.
THREADS = 8
#: How long the last transaction may take on the way out; the orchestrator kills after thirty.
STOP_SECONDS = 20.0


async def run_agent(settings: Settings, version: str) -> None:
    """Enforce what the settings name on this node until SIGTERM or SIGINT. `version` is reported to callers.

    Raises EnvironmentRefused for what the machine lacks, and when another agent is at work here.
    """
    wake = asyncio.Event()
    work_beside_loop("agent", THREADS)
    async with _kernel(settings, wake) as (nft, monitor):
        _say_started(settings.node, nft)
        metrics = Metrics()
        metrics.build_info.info({"version": version, "backend": nft.describe()})
        store = ObjectStore(settings.node, wake, _missing_namespaces(settings))
        by_hand = await _by_hand(nft, settings.table, monitor)
        applier = Applier(nft, settings.table, monitor, *by_hand)
        saver = Saver(Path(settings.state_dir), settings.node, settings.table) if settings.state_dir else None
        guard = BridgeGuard(nft, settings.options())
        was_there = await _read_back(applier) or await _restore(applier, saver, guard)
        services = _services_of(settings)
        source, *kubelet = await _open_sources(settings, store, services, was_there=was_there)
        target = Target(settings.node, settings.options(), compile_seconds=settings.compile_seconds)
        timing = LoopTiming(verify_every=settings.verify_interval)
        reconciler = Reconciler(store, applier, monitor, target, timing, metrics)
        reconciler.on_enforced.append(LongLived(reconciler.status).notice)
        rules = _pod_rules(settings, store, reconciler, nft, metrics, in_place=by_hand != (None, None))
        if rules is not None and services is not None:
            rules.judge_by(services)
        parts: list[Part] = [
            TableWatch(monitor, settings.verify_interval),
            NodeWatch(nft, settings, store.pods_here, inside=rules.addresses if rules else frozenset),
            AttachmentWatch(store, guard),
            check := PolicyCheck(store.policy_changes, store.state, metrics),
            prover := _prover(store, reconciler, target, metrics),
        ]
        parts += (*kubelet, *_of_mesh(settings, store), *_of_connections(settings, reconciler, metrics))
        parts += _of_starts(settings, store, reconciler, monitor, metrics, rules)
        if saver is not None:
            reconciler.on_swap.append(saver.note)
            parts.append(saver)
        reporter = Reporter(settings, store, reconciler, source, parts, metrics)
        reporter.findings, reporter.proof = check.state, prover.state
        reporter.inside, reporter.own_pods = _state_of(rules), _state_of(*kubelet)
        telling = (*_telling(settings.node, reporter, source), *_listeners(settings, reporter))
        supervised = [Supervised(part, source) for part in (source, *parts, *telling)]
        reporter.add((*telling, *supervised))
        try:
            await _until_told(settings, supervised, reconciler, wake)
        finally:
            if saver is not None:
                await saver.flush()
    _say_stopped(settings.node, holds_ruleset=applier.holds_ruleset)


def _state_of(part: PodRules | KubeletPods | None = None) -> Callable[[], Mapping[str, object]]:
    """What a part says of itself, where it is there."""
    return part.state if part else dict


def _say_started(node: str, nft: Nft) -> None:
    fields = {"event": "agent.started", "node": node, "backend": nft.describe()}
    log.info("agent started", extra=fields)


def _say_stopped(node: str, *, holds_ruleset: bool) -> None:
    fields = {"event": "agent.stopped", "node": node}
    if holds_ruleset:
        log.info("agent stopped; the ruleset stays in force", extra=fields)
    else:
        log.error("agent stopped; no ruleset of policyd is known to be in force", extra=fields)


def _prover(store: ObjectStore, reconciler: Reconciler, target: Target, metrics: Metrics) -> Prover:
    """Who proves the rulesets that come into force."""
    prover = Prover(store, reconciler.status, partial(prove_apart, target.node, target.options), metrics)
    reconciler.on_enforced.append(prover.notice)
    return prover


def _pod_rules(
    settings: Settings,
    store: ObjectStore,
    reconciler: Reconciler,
    nft: Nft,
    metrics: Metrics,
    *,
    in_place: bool,
) -> PodRules | None:
    """Who keeps rules in pods' own namespaces; nobody where they are judged by the node alone."""
    if settings.places() == "host":
        return None
    # A process of its own: what somebody's rules in a pod do to the library must not hold up the node's.
    nft_of = NftWorker().inside if isinstance(nft, NftWorker) else NftProgram
    way = Way(nft_of, Inside(), in_place=in_place, atomic=replaces_are_atomic(platform.release()))
    rules = PodRules(settings, reconciler.status, store.known_pods, way, metrics)
    reconciler.on_enforced.append(rules.notice)
    return rules


def _services_of(settings: Settings) -> KnownServices | None:
    """Who knows Services: where pods are judged by their addresses, and an API server says what these are."""
    return None if settings.places() == "host" or settings.manifests is not None else KnownServices()


def _of_starts(
    settings: Settings,
    store: ObjectStore,
    reconciler: Reconciler,
    monitor: TableMonitor,
    metrics: Metrics,
    rules: PodRules | None,
) -> Iterator[Part]:
    """What notices pods that start: of libcni's results, and of policyd-cni, also one of another time."""
    sinks: list[Callable[[Mapping[str, Hint]], None]] = [store.hint]
    if rules is not None:
        yield rules
    if (keeper := keeper_of(settings)) is not None:
        yield keeper
    if settings.run_dir:
        directory = Path(settings.run_dir, "cni")

        def holds() -> bool:  # as far as is known: what somebody flushed is repaired first
            return reconciler.holds_ruleset and not monitor.tampered

        gate = Gate(directory, store, reconciler.status, holds, metrics)
        store.on_local.append(gate.notice)
        gate.expected = lambda: keeper is not None and not keeper.conditions()
        if rules is None:
            reconciler.on_enforced.append(gate.notice)
        else:
            gate.in_force = rules.in_force
            rules.on_enforced.append(gate.notice)
        sinks.append(gate.note_results)
        yield gate
    if settings.cni_cache:

        def tell(hints: Mapping[str, Hint]) -> None:
            for sink in sinks:
                sink(hints)

        yield CniCache(Path(settings.cni_cache), tell)


def _of_connections(settings: Settings, reconciler: Reconciler, metrics: Metrics) -> Iterator[Part]:
    """What ends connections that a change denies."""
    if settings.live_connections == "cut":
        revoker = Revoker(metrics)
        reconciler.on_swap.append(revoker.note)
        yield revoker


def _of_mesh(settings: Settings, store: ObjectStore) -> Iterator[Part]:
    """What notices policies whose ports mean something else in a mesh."""
    if settings.istio_ambient == "strict":
        yield MeshCheck(settings.node, lambda: store.said, store.state)


async def _by_hand(nft: Nft, table: str, monitor: TableMonitor) -> tuple[InPlace, Pieces] | tuple[None, None]:
    """How elements alone are written and read; None where this kernel is not known to take them."""
    try:
        if refusal := await elements_unsupported_reason(nft):
            raise EnvironmentRefused(refusal)
        writer, reader = ElementWriter(), ElementReader()
    except EnvironmentRefused as error:
        log.warning(
            "no elements are changed in place; sets that change are written as a whole",
            extra={"event": "elements.unavailable", "reason": str(error)},
        )
        return None, None
    monitor.trusted.add(writer.port)
    in_place = InPlace(table, writer, atomic=replaces_are_atomic(platform.release()))
    return in_place, Pieces(nft, table, reader)


@asynccontextmanager
async def _kernel(settings: Settings, wake: asyncio.Event) -> AsyncIterator[tuple[Nft, TableMonitor]]:
    """The way to the kernel, which nobody else must have for this table."""
    with claim_node(settings.table):
        nft = await open_backend(settings.backend)
        try:
            monitor = TableMonitor(settings.table, wake.set)
            monitor.listen()
            try:
                yield nft, monitor
            finally:
                monitor.close()
        finally:
            await nft.close()


async def _read_back(applier: Applier) -> bool:
    """Learn what the kernel holds; where that is not known, something may be there, and stays until then."""
    try:
        return await retry_idempotent(applier.read_back)
    except EnvironmentRefused as error:
        fields = {"event": "ruleset.unread", "reason": str(error)}
        log.error("what the kernel holds cannot be read yet", extra=fields)
        return True


async def _restore(applier: Applier, saver: Saver | None, guard: BridgeGuard) -> bool:
    """After a reboot: bring into force what was so before. True if there was something."""
    saved = saver.load() if saver is not None else None
    if saver is None or saved is None:
        return False
    applier.generation = saved.generation
    table = saved.table
    if table.bridge is not None and await guard.refusal():  # of another kernel: the rest still holds
        table = replace(table, bridge=None)
    try:
        applied = await applier.apply(table)
    except EnvironmentRefused as error:  # of another kernel, or another nft
        saver.refuse(str(error))
        return False
    fields = {"event": "state.restored", "generation": applied.generation}
    log.warning("the ruleset from before is in force until the cluster is known again", extra=fields)
    return True


def _missing_namespaces(settings: Settings) -> MissingNamespaces:
    """A directory is all there is, as for `compile`; an API server may still report a Namespace."""
    return MissingNamespaces.UNKNOWN if settings.manifests is None else MissingNamespaces.NAMED


async def _open_sources(
    settings: Settings, store: ObjectStore, services: KnownServices | None, *, was_there: bool
) -> tuple[Source] | tuple[Source, KubeletPods]:
    """Where objects come from; and the kubelet, which next to an API server knows this node's pods."""
    if settings.manifests is not None:
        directory, recursive = settings.manifests, settings.recursive
        return (DirectorySource(directory, store.apply, recursive=recursive, keep_until_good=was_there),)
    kinds = followed(inside=services is not None)

    async def open_live(sink: Callable[[Sequence[Event]], None]) -> LiveSource:
        return await LiveSource.open(settings, sink if services is None else services.beside(sink), kinds)

    if not settings.kubelet_pods:
        return (await open_live(store.apply),)
    pods = TwoSources(settings.node, store.apply)
    live = await open_live(pods.api)
    return live, KubeletPods(Path(settings.kubelet_pods), pods, partial(live.answers_for, POD.name))


def _listeners(settings: Settings, reporter: Reporter) -> tuple[Part, ...]:
    """Where one can ask how the agent fares: anybody who reaches the address, and root."""
    found = [Listener(settings.listen, public(reporter))] if settings.listen else []
    socket = settings.socket()
    return (*found, Listener(socket, private(reporter), DEBUG)) if socket else tuple(found)


def _telling(node: str, reporter: Reporter, source: Source) -> tuple[Part, ...]:
    """Who says what is wrong: the log, and Events where there is an API server."""
    if isinstance(source, LiveSource):
        poster = EventPoster(node, reporter.conditions, source.write_event)
        return (ConditionLog(reporter.conditions), poster)
    return (ConditionLog(reporter.conditions),)


async def _until_told(
    settings: Settings, parts: Sequence[Part], reconciler: Reconciler, wake: asyncio.Event
) -> None:
    """Run until SIGTERM or SIGINT. A transaction that is under way is finished first."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        async with asyncio.TaskGroup() as group:
            beside = [group.create_task(part.run()) for part in parts]
            beside.append(group.create_task(watch_loop(settings.stall_seconds)))
            working = group.create_task(reconciler.run(wake))
            await stop.wait()
            for task in beside:
                task.cancel()
            reconciler.stop(wake)
            await asyncio.wait([working], timeout=STOP_SECONDS)
            working.cancel()
    except* PolicydError as group_error:
        raise group_error.exceptions[0] from None
