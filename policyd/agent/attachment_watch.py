"""Keeps the store's attachments true: reads this node's links when a link or a pod of the node changes.

A task alongside the reconciler. Without it, or where something cannot be read, only addresses are known.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Sequence
from dataclasses import replace

from policyd.agent.clock import wait_for
from policyd.agent.reporting.conditions import Condition
from policyd.cluster.attachments import Attachments
from policyd.netlink.links import (
    Link,
    heard_links,
    open_link_listener,
    read_link,
    read_links,
    read_ways,
)
from policyd.netlink.peers import read_peers
from policyd.node.attach import LocalPod, Network, attach
from policyd.node.bridge_guard import BridgeGuard
from policyd.node.ways import Look, known_ways
from policyd.object_store import ObjectStore
from policyd_compiler.addr import print_address

log = logging.getLogger(__name__)

#: How old the last look may be: of routes that change on their own no event is heard.
LOOK_SECONDS = 10.0
#: The least time between two looks, but for a pod that waits for it: a pod's start is several events.
REST_SECONDS = 0.02
#: A pod without an interface for so many looks is reported: while pods come and go some have none.
STEADY_LOOKS = 3
#: Of more links than this that changed, all are read at once.
MOST_ASKED = 16
#: Pods named in a sentence; the rest is counted.
_NAMED = 3


class AttachmentWatch:
    """Reads which interface leads to which pod; `run` is its only task."""

    def __init__(self, store: ObjectStore, guard: BridgeGuard, every: float = LOOK_SECONDS) -> None:
        self._store, self._guard, self._every = store, guard, every
        self._last, self._asked_at = Look(), -every
        self._unbound: dict[str, int] = {}
        self._trouble = self._unguarded = ""
        #: The links that may be others than the last look had them; None while no changes are heard of.
        self._heard: frozenset[int] | None = None
        self._hears = False
        store.expect_attachments()

    def conditions(self) -> tuple[Condition, ...]:
        """Ports of bridges that are not guarded, and pods whose interface is not found."""
        unguarded = (Condition("bridge-unguarded", self._unguarded),) if self._unguarded else ()
        return (*unguarded, *self._unfound())

    def _unfound(self) -> tuple[Condition, ...]:
        """Pods whose interface is not found, and what kept it from being found."""
        if self._trouble:
            return (Condition("interfaces-unread", self._trouble, degraded=False),)
        steady = sorted(key for key, looks in self._unbound.items() if looks >= STEADY_LOOKS)
        if not steady:
            return ()
        more = f" and {len(steady) - _NAMED} more" if len(steady) > _NAMED else ""
        text = (
            f"the interfaces of {', '.join(steady[:_NAMED])}{more} are not found, so another such pod of "
            "this node can send with their addresses: mount libcni's results (cni_cache)"
        )
        return (Condition("pods-unbound", text, degraded=False),)

    async def run(self) -> None:
        """Look until cancelled."""
        changed = self._store.local_changed
        listener = _listen()
        loop = asyncio.get_running_loop()
        if listener is not None:
            self.listens()
            loop.add_reader(listener, self.hear, listener)
        try:
            while True:
                self._store.starts.clear()
                await self.look()
                await wait_for(self._store.starts, REST_SECONDS)
                try:
                    async with asyncio.timeout(self._every):
                        await changed.wait()
                except TimeoutError:
                    pass
        finally:
            if listener is not None:
                loop.remove_reader(listener)
                listener.close()

    async def look(self) -> None:
        """Read the links once, and bring the store up to date."""
        self._store.begin_look()
        pods, complete = self._store.local_pods(), self._store.is_complete
        now = asyncio.get_running_loop().time()
        if now - self._asked_at >= self._every:
            self._last, self._heard, self._asked_at = Look(), None, now
        last = self._last if self._heard is None else replace(self._last, heard=self._heard)
        self._heard = frozenset() if self._hears else None
        try:
            self._last = await asyncio.to_thread(look, pods, self._store.attachments, last)
        except Exception as error:  # noqa: BLE001 no socket, no thread, an odd answer: what was known stays
            self._last, self._heard = Look(), None
            self._complain(f"this node's links cannot be read: {type(error).__name__} {error}")
            self._store.attach(self._store.attachments, complete=complete)
            return
        self._trouble = ""
        found, self._unguarded = await self._guard.guardable(self._last.found)
        self._store.attach(found, complete=complete)
        unbound = [pod.key for pod in pods if pod.addresses and pod.key not in found.pods]
        self._unbound = {key: self._unbound.get(key, 0) + 1 for key in unbound}

    def listens(self) -> None:
        """From now on `hear` is called when a link changes."""
        self._hears = True

    def hear(self, listener: socket.socket) -> None:
        """Something about links: what, the next look shows."""
        heard = heard_links(listener)
        self._heard = None if heard is None or self._heard is None else self._heard | heard
        self._store.local_changed.set()

    def _complain(self, text: str) -> None:
        if text != self._trouble:
            log.warning("interfaces cannot be read", extra={"event": "interfaces.unread", "reason": text})
        self._trouble = text


def read_attachments(pods: Sequence[LocalPod], before: Attachments) -> Attachments:
    """One reading of this node's links. Raises OSError."""
    return look(pods, before).found


def look(pods: Sequence[LocalPod], before: Attachments, last: Look = Look()) -> Look:  # noqa: B008 a value
    """The same, with what the next look may go on from. Raises OSError.

    The kernel is asked only for what libcni's results and the last look leave open. Where a pod's interface
    is not found so, all links are read, as not every change is notified.
    """
    if last.heard is not None and len(last.heard) <= MOST_ASKED:
        links = {index: link for index, link in last.links.items() if index not in last.heard}
        links |= {link.index: link for link in map(read_link, last.heard) if link is not None}
        found = _look(pods, before, last, tuple(links[index] for index in sorted(links)))
        if all(pod.key in found.found.pods for pod in pods if pod.addresses):
            return found
    return _look(pods, before, last, read_links())


def _look(pods: Sequence[LocalPod], before: Attachments, last: Look, links: tuple[Link, ...]) -> Look:
    names = {link.name for link in links}
    asked = [pod for pod in pods if names.isdisjoint(pod.interfaces)]
    known = known_ways(asked, links, last)
    texts = {
        print_address(*address): address for pod in asked for address in pod.addresses if address not in known
    }
    ways = known | {texts[text]: way for text, way in read_ways(texts).items()}
    first = attach(pods, Network(links, ways), before)
    complete = {attachment.interface for attachment in first.pods.values() if attachment.mac is not None}
    peers = read_peers(link for link in links if link.name not in complete)
    found = attach(pods, Network(links, ways, peers), before) if peers else first
    return Look({pod.key: pod for pod in pods}, {link.index: link for link in links}, ways, found)


def _listen() -> socket.socket | None:
    """A socket that is notified of links that come, go and change; None where there can be none."""
    try:
        return open_link_listener()
    except OSError as error:
        log.warning(
            "changes of links are not reported", extra={"event": "interfaces.unheard", "reason": str(error)}
        )
        return None
