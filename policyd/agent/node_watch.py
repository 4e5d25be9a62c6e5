"""Looks at the node again and again, as others set back what was right: a task alongside the reconciler."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace

from policyd.agent.reporting.conditions import Condition
from policyd.applier.backend import Nft
from policyd.config import Settings
from policyd.errors import EnvironmentRefused
from policyd.kube.cidr import print_ips
from policyd.kube.objects import Pod
from policyd.netlink.bridges import show_packets
from policyd.netlink.links import Link
from policyd.node.blind import Measured, measure, pass_by
from policyd.node.facts import Facts, read_facts
from policyd.node.findings import STEADY_LOOKS, hides_packets, judge, pod_bridges
from policyd.node.self_test import unsupported_reason
from policyd.node.witness import Witness

log = logging.getLogger(__name__)

#: So soon is a sysctl noticed that somebody set back.
LOOK_SECONDS = 10.0
#: While no pod is known, as at the start: the first one must not seem to be well for as long as that.
FIRST_SECONDS = 1.0
#: After a bridge was had to show its packets: long enough for the log to say that it had not.
SHOWN_SECONDS = 2.0


class NodeWatch:
    """Whether this node is such that policies can be enforced on it; `run` is its only task."""

    def __init__(
        self,
        nft: Nft,
        settings: Settings,
        pods: Callable[[], Iterable[Pod]],
        every: float = LOOK_SECONDS,
        show: Callable[[Link], None] = show_packets,
        inside: Callable[[], Collection[str]] = frozenset,
    ) -> None:
        """`inside`: the addresses of pods whose rules are in force in their own network namespaces."""
        self._nft, self._settings, self._pods, self._every = nft, settings, pods, every
        self._show, self._inside = show, inside
        self._shown = False
        self._looks: deque[Facts] = deque(maxlen=STEADY_LOOKS)
        self._found: tuple[Condition, ...] = ()
        self._witness = Witness(nft, settings.table)
        self._measured = Measured("unknown")
        self._unsupported: str | None = ""  # empty: not tried yet
        self._trouble = ""

    def conditions(self) -> tuple[Condition, ...]:
        """What is wrong with the node."""
        unsupported = (Condition("kernel-unfit", self._unsupported),) if self._unsupported else ()
        unknown = (Condition("node-unexamined", self._trouble, degraded=False),) if self._trouble else ()
        return (*unsupported, *self._found, *unknown)

    async def run(self) -> None:
        """Look until cancelled."""
        try:
            while True:
                await self._look()
                knows_pods = bool(self._looks) and bool(self._looks[-1].addresses)
                least = SHOWN_SECONDS if self._shown else self._every if knows_pods else FIRST_SECONDS
                await asyncio.sleep(min(least, self._every))
        finally:
            await self._witness.end()

    async def _look(self) -> None:
        try:
            if self._unsupported is not None:  # what a kernel has once taken it will take again
                self._unsupported = await unsupported_reason(self._nft, self._settings.options())
            addresses = pod_addresses(self._pods(), self._settings.node)
            facts = await asyncio.to_thread(read_facts, addresses)
            if await self._call_witness(facts):
                self._looks = deque((replace(look, seen=None) for look in self._looks), STEADY_LOOKS)
                facts = await asyncio.to_thread(read_facts, addresses)  # from when it counts
            # It is read after the interfaces: what comes in between counts as seen.
            facts = replace(facts, seen=await self._witness.read())
        except EnvironmentRefused as error:
            self._complain(str(error))
        except Exception as error:  # noqa: BLE001 what this kernel says oddly must not end what enforces
            self._complain(
                f"this node answers in a way that is not understood: {type(error).__name__} {error}"
            )
        else:
            self._trouble = ""
            await asyncio.to_thread(self._show_bridges, facts)
            self.take(facts)

    def take(self, facts: Facts) -> None:
        """Judge one more look at the node."""
        self._looks.append(facts)
        # Blind stays blind until packets are seen again: that none are sent for a while shows nothing.
        measured = measure(self._looks)
        if measured.sight != "unknown" or self._measured.sight != "blind":
            self._measured = measured
        looks, settings = tuple(self._looks), self._settings
        found = judge(
            looks, settings.pod_interfaces, settings.other_engines, self._measured, frozenset(self._inside())
        )
        self._found = tuple(Condition(f.name, f.text, f.degraded) for f in found)

    async def _call_witness(self, facts: Facts) -> bool:
        """Have a witness where one is needed. True if it begins now."""
        if pass_by(facts):
            return await self._witness.begin()
        await self._witness.end()
        return False

    def _show_bridges(self, facts: Facts) -> None:
        """Have the pods' bridges show their packets to IP by their own option: sysctls are set back (NP-150).

        What is found wrong in this look stays wrong until the next one sees that it is not.
        """
        self._shown = False
        for bridge, together in pod_bridges(facts, self._settings.pod_interfaces):
            if not together or not hides_packets(facts, bridge):
                continue
            try:
                self._show(bridge)
            except OSError as error:
                log.warning(
                    "a bridge cannot be had to show its packets to IP",
                    extra={"event": "bridge.unshown", "bridge": bridge.name, "reason": str(error)},
                )
            else:
                self._shown = True
                log.info(
                    "a bridge shows its packets to IP by its own option",
                    extra={"event": "bridge.shown", "bridge": bridge.name},
                )

    def _complain(self, text: str) -> None:
        if text != self._trouble:
            log.warning("the node cannot be examined", extra={"event": "node.unexamined", "reason": text})
        self._trouble = text


def pod_addresses(pods: Iterable[Pod], node: str) -> tuple[str, ...]:
    """The addresses of those that are a node's that live on networks of their own, and are there to stay."""
    return tuple(
        sorted(
            address
            for pod in pods
            if pod.node == node and not (pod.host_network or pod.terminal or pod.deleting)
            for address in print_ips(pod.v4, pod.v6)
        )
    )
