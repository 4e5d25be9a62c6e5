"""Keeps the rules of pods in force in their own network namespaces: a task alongside the reconciler.

The node's ruleset in force is cut for each pod that is judged there (`policyd_compiler/for_pod.py`), and
stays beside it. A pod for which that cannot be done is reported as what it is: not enforced.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

from policyd.agent.clock import CLOCK, Clock
from policyd.agent.known_services import KnownServices
from policyd.agent.pod_table import PodTable, Way
from policyd.agent.reporting.conditions import Condition
from policyd.agent.reporting.status import AgentStatus
from policyd.applier.grace import wait_for_packets
from policyd.config import Settings
from policyd.errors import EnvironmentRefused
from policyd.netlink.inside import NoNamespace
from policyd.netlink.links import read_links
from policyd.netlink.local_addresses import local_addresses
from policyd.node.attach import KnownPod, KnownPods
from policyd.node.blind import network_of
from policyd.node.unseen import Ways, read_unseen, unseen_reason
from policyd.obs.metrics import Metrics
from policyd_compiler.addr import Interval, Ranges, print_address, union
from policyd_compiler.for_pod import Cutter, Since, Surroundings
from policyd_compiler.nft.ast import Table
from policyd_compiler.nft.keys import FAMILIES, Family
from policyd_compiler.ruleset import Ruleset
from policyd_compiler.served import NOTHING_SERVED, Served

log = logging.getLogger(__name__)

#: One looks again after so long: whether somebody changed what is there, and which addresses the node has.
LOOK_SECONDS = 5.0
#: What could not be done is tried again after so long.
RETRY_SECONDS = 1.0
#: Pods named in a sentence; the rest is counted.
_NAMED = 3
#: What Cilium makes the source of what a pod sends to itself through its Service: 169.254.42.1 and fe80::1,
#: unless its options ipv4- and ipv6-service-loopback-address say otherwise.
CILIUM_RETURNS: Mapping[Family, tuple[int, ...]] = {4: (0xA9FE_2A01,), 6: (0xFE80 << 112 | 1,)}


class PodRules:
    """The tables in pods' namespaces; `run` is the only task that changes them."""

    def __init__(
        self,
        settings: Settings,
        status: AgentStatus,
        known: Callable[[], KnownPods],
        way: Way,
        metrics: Metrics,
        clock: Clock = CLOCK,
    ) -> None:
        """`known`: the node's pods as they are known now, which may be more than the ruleset in force has."""
        self._settings, self._status, self._known = settings, status, known
        self._way, self._metrics, self._clock = way, metrics, clock
        self._tables: dict[str, PodTable] = {}
        #: With `auto`: by pod its sandbox, and why the node may not see its packets; empty: it does.
        self._reasons: dict[str, tuple[KnownPod, str]] = {}
        self._cutter: Cutter | None = None
        #: The node's pods as all cuts in force have them.
        self._all_know: KnownPods = {}
        self._around = Surroundings()
        self._looked = -LOOK_SECONDS
        self._changed = asyncio.Event()
        self._services: KnownServices | None = None
        #: What waits for packets that may be in it: tables, each as it was, and when they are gone.
        self._walked: tuple[list[tuple[PodTable, int]], asyncio.Future[None]] | None = None
        #: Called whenever all that could be brought into force has been.
        self.on_enforced: list[Callable[[], None]] = []

    def judge_by(self, services: KnownServices) -> None:
        """Let pods ask Services by what is behind them: an eBPF program may rewrite their addresses behind
        the pod's namespace. Nothing is brought into force before they are known.
        """
        self._services = services
        services.on_change.append(self.notice)

    def notice(self) -> None:
        """The node's ruleset was brought into force: its cuts may have to follow."""
        self._changed.set()

    def in_force(self) -> KnownPods:
        """The node's pods whose rules are in force wherever they are to be: other pods' that name them, too.

        So each was there when all cuts were last brought into force, not only its own.
        """
        now, all_know = self._status.pods, self._all_know
        return {k: pod for k, pod in now.items() if _is_same(pod, all_know.get(k)) and self._holds(k, pod)}

    def addresses(self) -> frozenset[str]:
        """The addresses of the pods whose rules are in force in their own namespaces."""
        held = (pod for key, pod in self.in_force().items() if key in self._tables)
        return frozenset(text for pod in held for text in _texts(pod))

    def state(self) -> dict[str, object]:
        """How many pods are judged in their own namespaces, and the addresses of those that are."""
        return {"pods": len(self._tables), "addresses": tuple(sorted(self.addresses()))}

    def _holds(self, key: str, pod: KnownPod) -> bool:
        if not pod.addresses:
            return True
        now = _with_netns(pod, self._known().get(key))
        if self._settings.places() == "auto":
            looked, reason = self._reasons.get(key, (None, ""))
            if looked is not None and _is_same(looked, now) and not reason:
                return True
        held = self._tables.get(key)
        return held is not None and not held.trouble and _is_same(held.pod, now)

    def conditions(self) -> tuple[Condition, ...]:
        """Pods whose own namespaces hold no rules."""
        failing = {
            key: held.trouble if (held := self._tables.get(key)) else self._unlooked
            for key, pod in sorted(self._status.pods.items())
            if not self._holds(key, pod)
        }
        if not failing:
            return ()
        named = "; ".join(f"{key}: {why}" for key, why in list(failing.items())[:_NAMED])
        more = f"; and {len(failing) - _NAMED} more" if len(failing) > _NAMED else ""
        text = (
            f"the rules of {len(failing)} pods are not in force in their own network namespaces, so no rule "
            f"may see their packets ({named}{more})"
        )
        return (Condition("pods-open", text),)

    @property
    def _waits_for_services(self) -> bool:
        return self._services is not None and not self._services.is_complete

    @property
    def _unlooked(self) -> str:
        """Why a pod has not been looked at."""
        if self._waits_for_services:
            return "the API server has not listed Services and EndpointSlices yet"
        return "it has not been looked at yet"

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            while True:
                self._changed.clear()
                await self.look()
                failing = any(held.trouble for held in self._tables.values())
                await self._clock.wait(self._changed, RETRY_SECONDS if failing else LOOK_SECONDS)
        finally:
            await self._way.inside.rest(0.0)

    async def look(self) -> None:
        """Bring every pod's namespace up to date, and remove there what earlier rulesets left."""
        if self._status.table is None or self._waits_for_services:
            return
        due = self._clock.now() - self._looked >= LOOK_SECONDS
        if due:
            self._looked = self._clock.now()
            self._around = await asyncio.to_thread(read_surroundings, self._settings)
        await self.bring_all(verify=due)
        await self._end_denied()
        await self.sweep()
        await self._way.inside.rest()

    async def bring_all(self, *, verify: bool = False) -> None:
        """Bring the cuts of the node's ruleset into force. `verify`: look whether somebody changed one."""
        table = self._status.table
        if table is None:
            return
        pods = self._status.pods
        await self._follow_pods(again=verify)
        cutter, since = await asyncio.to_thread(self._next_cutter, table)
        new_first = sorted(self._tables.items(), key=lambda item: item[1].in_force is not None)
        for key, held in new_first:
            await self._bring(key, held, cutter, since, verify=verify)
        self._cutter, self._all_know = cutter, pods  # now all are of this one
        self._report()

    def _next_cutter(self, table: Table) -> tuple[Cutter, Since | None]:
        """Who cuts this ruleset, and what differs from the one before."""
        before = self._cutter
        served = NOTHING_SERVED if self._services is None else self._services.served()
        if before is not None and _cuts(before, table, self._around, served):
            cutter = before
        else:
            cutter = Cutter(Ruleset(table), self._around, self._settings.options(), served, before)
        cutter.foresee(address for held in self._tables.values() for address in held.addresses)
        return cutter, None if before is None else cutter.since(before)

    async def _follow_pods(self, *, again: bool) -> None:
        """Pods that are new, or have another sandbox, and those that have gone with their namespaces."""
        known = self._known()
        now = {
            key: _with_netns(pod, known.get(key)) for key, pod in self._status.pods.items() if pod.addresses
        }
        if self._settings.places() == "auto":
            now = await self._unseen(now, again=again)
        self._tables = {key: held for key, held in self._tables.items() if _is_same(held.pod, now.get(key))}
        for key, pod in now.items():
            if key not in self._tables:
                self._tables[key] = PodTable(pod, self._settings.table, self._way)

    async def _unseen(self, pods: dict[str, KnownPod], *, again: bool) -> dict[str, KnownPod]:
        """Those of the pods whose packets this node may not see. Who is one stays one until its sandbox ends.

        `again`: also those are looked at that were seen the last time.
        """
        reasons = {k: known for k, known in self._reasons.items() if _is_same(known[0], pods.get(k))}
        asked = {k: pod for k, pod in pods.items() if k not in reasons or (again and not reasons[k][1])}
        if asked:
            texts = {key: _texts(pod) for key, pod in asked.items()}
            found: Ways | str
            try:
                found = await asyncio.to_thread(read_unseen, [t for each in texts.values() for t in each])
            except EnvironmentRefused as error:  # what is not known is not seen
                found = str(error)
            for key, pod in asked.items():
                reason = found if isinstance(found, str) else _reason(texts[key], found, pod)
                if reason:
                    fields = {"event": "pod.unseen", "pod": key, "reason": reason}
                    log.info("a pod is judged in its own network namespace", extra=fields)
                reasons[key] = pod, reason
        self._reasons = reasons
        return {key: pod for key, pod in pods.items() if reasons[key][1]}

    async def _bring(
        self, key: str, held: PodTable, cutter: Cutter, since: Since | None, *, verify: bool
    ) -> None:
        try:
            if verify and (found := await held.verify()):
                fields = {"event": "pod.drift", "pod": key, "differences": found[:8]}
                log.warning("somebody changed the rules in a pod's namespace: repairing them", extra=fields)
                self._metrics.drift.inc()
            if await held.bring(cutter, since):
                log.debug("rules in force in a pod's namespace", extra={"event": "pod.applied", "pod": key})
        except EnvironmentRefused as error:
            # What was in force goes with its namespace: a pod that has ended has no packets.
            if isinstance(error, NoNamespace) and held.was_there:
                return
            self._complain(key, held, str(error))
        except Exception as error:  # noqa: BLE001 one pod must not cost the others
            self._complain(key, held, f"{type(error).__name__}: {error}")

    def _complain(self, key: str, held: PodTable, reason: str) -> None:
        if reason != held.trouble:
            fields = {"event": "pod.failed", "pod": key, "reason": reason}
            log.error("the rules of a pod are not in force in its namespace", extra=fields)
        held.trouble, held.in_force = reason, None

    def _report(self) -> None:
        held = sum(1 for each in self._tables.values() if not each.trouble)
        self._metrics.inside.labels("enforced").set(held)
        self._metrics.inside.labels("open").set(len(self._tables) - held)
        for call in self.on_enforced:
            call()

    async def _end_denied(self) -> None:
        """End live connections that new rules deny, until something else is to be done."""
        if self._settings.live_connections == "keep":
            return
        for key, held in self._tables.items():
            if self._changed.is_set():
                return
            if held.is_new and (ended := await self._end_of(held)):
                self._metrics.revoked.inc(ended)
                fields = {"event": "pod.ended", "pod": key, "connections": ended}
                log.info("live connections of a pod are denied now: ended", extra=fields)

    async def _end_of(self, held: PodTable) -> int:
        try:
            return await held.end_denied()
        except (EnvironmentRefused, OSError) as error:  # the pod has gone, or the kernel lists none
            fields = {"event": "connections.unlisted", "reason": str(error)}
            log.warning("connections that are denied now cannot be ended", extra=fields)
            return 0

    async def sweep(self) -> None:
        """Remove what earlier rulesets left, until something else is to be done. One wait is for all."""
        if self._walked is None:
            waiting = [(held, held.mark) for held in self._tables.values() if held.waits]
            if not waiting:
                return
            self._walked = waiting, asyncio.get_running_loop().run_in_executor(None, wait_for_packets)
        waiting, gone = self._walked
        changed = asyncio.create_task(self._changed.wait())
        either: tuple[asyncio.Future[Any], ...] = (gone, changed)
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        changed.cancel()
        if not gone.done():
            return  # what is to be brought into force is not kept waiting
        self._walked = None
        gone.result()
        for held, mark in waiting:
            if self._changed.is_set():
                return
            try:
                await held.settle(mark)
            except EnvironmentRefused as error:  # it is in nobody's way, and the next change finds it
                log.debug("not swept", extra={"event": "pod.unswept", "reason": str(error)})


def _cuts(cutter: Cutter, table: Table, around: Surroundings, served: Served) -> bool:
    """Whether it is these that it cuts, for these surroundings."""
    return cutter.table is table and cutter.around == around and cutter.served is served


def _texts(pod: KnownPod) -> list[str]:
    return [print_address(family, address) for family, address in sorted(pod.addresses)]


def _reason(addresses: list[str], found: Ways, pod: KnownPod) -> str:
    """Why the node may not see the packets of a pod; empty if it sees those of all its addresses."""
    reasons = (unseen_reason(address, found, pod.interface) for address in addresses)
    return next(filter(None, reasons), "")


def _with_netns(pod: KnownPod, known: KnownPod | None) -> KnownPod:
    """The pod as the ruleset in force has it, and where its namespace is, which may be known only later."""
    if pod.netns or known is None or known.uid != pod.uid:
        return pod
    return replace(pod, netns=known.netns)


def _is_same(one: KnownPod, other: KnownPod | None) -> bool:
    """Whether it is the same sandbox of the same pod."""
    return other is not None and _sandbox(one) == _sandbox(other)


def _sandbox(pod: KnownPod) -> tuple[object, ...]:
    return pod.uid, pod.addresses, pod.netns


def read_surroundings(settings: Settings) -> Surroundings:
    """The addresses with which this node reaches its pods, those of Services that it rewrites, and those that
    stand for a pod itself.
    """
    own = local_addresses()
    nodes = {family: tuple(sorted(a for a in own[family] if _reaches(family, a))) for family in FAMILIES}
    returns = CILIUM_RETURNS if network_of(read_links()) == "Cilium" else {}
    return Surroundings(nodes, services_of(settings), returns)


def _reaches(family: Family, address: int) -> bool:
    """Whether it can be the source of a packet to a pod: not of the loopback, nor of one link only."""
    found = ip_address(address.to_bytes(4 if family == 4 else 16))
    return not (found.is_loopback or found.is_link_local or found.is_multicast)


def services_of(settings: Settings) -> dict[Family, Ranges]:
    """The ranges of the setting `service_ranges`, by family."""
    found: dict[Family, list[Interval]] = {4: [], 6: []}
    for network in map(ip_network, settings.service_ranges):
        first, last = int(network.network_address), int(network.broadcast_address)
        found[4 if network.version == 4 else 6].append((first, last))
    return {family: union(ranges) for family, ranges in found.items() if ranges}
