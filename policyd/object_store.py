"""The agent's picture of the cluster: what sources have said so far. Single writer, no I/O."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from enum import IntEnum, auto
from typing import assert_never, cast

from policyd.cluster.attachments import UNKNOWN, Attachments
from policyd.cluster.events import Delete, Event, Synced, Upsert
from policyd.cluster.state import ClusterState, MissingNamespaces
from policyd.graph.changes import ObjectChange
from policyd.kube.kind import Kinds
from policyd.kube.objects import KubeObject, Pod
from policyd.kube.registry import KINDS, POD
from policyd.node.attach import Hint, KnownPod, KnownPods, LocalPod
from policyd.node.starting import Starting


class News(IntEnum):
    """What was said, by how soon a ruleset should follow: of several it is the last of these."""

    NOTHING = auto()
    IDLE = auto()  #: pods of this node have gone, or have no address yet: nobody waits for that
    INTERFACES = auto()  #: interfaces became known
    CHANGES = auto()  #: anything else
    STARTS = auto()  #: a pod of this node has come with an address, or got one: closed until it is compiled


class ObjectStore:
    """Objects by kind and key. Sets `wake` whenever something was said."""

    def __init__(
        self,
        node: str,
        wake: asyncio.Event,
        missing_namespaces: MissingNamespaces = MissingNamespaces.UNKNOWN,
        kinds: Kinds = KINDS,
    ) -> None:
        self._kinds = kinds
        self._node = node
        self._wake = wake
        self._missing_namespaces = missing_namespaces
        self._news = News.NOTHING
        self._said = self._taken = 0
        self._objects: dict[str, dict[str, KubeObject]] = {name: {} for name in kinds.names}
        self._policies = frozenset(kind.name for kind in kinds if kind.policy)
        self._synced: set[str] = set()
        self._local: set[str] = set()  # keys of this node's pods
        #: By kind, of the objects that changed since somebody asked what they were then.
        self._before: dict[str, dict[str, KubeObject | None]] = {name: {} for name in kinds.names}
        self._told: dict[str, Pod] | None = None  # pods that had another address then than the server says
        self._policy_times: dict[str, float] = {}
        self._policy_changes = 0
        self._hints: Mapping[str, Hint] = {}
        self._starting = Starting()
        self._known_pods: KnownPods | None = None  # this and the next: until something local changes
        self._here: tuple[dict[str, Pod], list[str]] | None = None
        self._attachments = UNKNOWN
        self._expects_attachments = self._is_attached = self._looks = False
        self._to_look = False  # whether somebody waits for the next look
        #: Called when pods of this node may have come, changed or gone.
        self.on_local: list[Callable[[], None]] = []
        #: Set when a pod's network is being made, whose interface is to be found at once.
        self.starts = asyncio.Event()
        #: Set when this node's pods, or what is known of their addresses and interfaces, may have changed.
        self.local_changed = asyncio.Event()

    def hint(self, hints: Mapping[str, Hint]) -> None:
        """What this node's network plugin says of pods' addresses, by uid: all that it says now."""
        before = self._hinted_at()
        self._hints = hints
        self._note_local()
        after = self._hinted_at()
        if after != before:
            grown = any(hint != before.get(key) for key, hint in after.items())
            self._to_look |= grown
            self._note_said(News.STARTS if grown else News.IDLE)
            self._wake.set()

    def start(self, key: str, hint: Hint) -> None:
        """What the runtime says of a pod of this node whose network is being made, and which is known.

        It holds until the API server says something new of its addresses. Where interfaces are looked for, a
        ruleset is made after that look: one with the address alone would be followed by another at once.
        """
        self._starting.add(key, self._pods[key], hint)
        self._to_look = True
        self._note_local()
        self._note_said(News.STARTS)
        self.starts.set()
        if not self._is_attached:
            self._wake.set()

    def _note_local(self) -> None:
        self._known_pods = self._here = None
        self.local_changed.set()
        for call in self.on_local:
            call()

    def known_pods(self) -> KnownPods:
        """This node's pods as a ruleset has them that is made now."""
        if self._known_pods is None:
            self._known_pods = {
                pod.key: KnownPod(
                    self._pods[pod.key].uid,
                    pod.addresses,
                    _interface(self._attachments, pod.key),
                    pod.netns,
                )
                for pod in self.local_pods()
            }
        return self._known_pods

    def _is_waiting(self, pod: Pod) -> bool:
        """A pod of this node whose address the API server does not know yet, but its network plugin does."""
        return pod.node == self._node and not pod.has_address and not pod.terminal and pod.uid in self._hints

    def expect_attachments(self) -> None:
        """Wait for what this node's links say: the first ruleset must not unbind pods that are bound."""
        self._expects_attachments = self._is_attached = True

    def attach(self, attachments: Attachments, *, complete: bool = True) -> None:
        """What this node's links say: which interface leads to which of its pods.

        `complete`: all its pods were known when they were read.
        """
        looked, self._looks = self._looks, False
        if attachments != self._attachments:
            before, self._attachments, self._known_pods = self._attachments, attachments, None
            self._note_said(News.IDLE if _are_fewer(attachments, before) else News.INTERFACES)
        if self._news > News.NOTHING or looked:
            self._wake.set()
        if complete and self._expects_attachments:
            self._expects_attachments = False
            self._wake.set()

    def begin_look(self) -> None:
        """The node's links are about to be read, for the pods that are known now; `attach` ends it."""
        self.local_changed.clear()
        self._looks, self._to_look = self._to_look, False

    @property
    def is_looking(self) -> bool:
        """Whether interfaces of pods that have started are still being looked for."""
        return self._is_attached and (self._looks or self._to_look)

    def local_pods(self) -> tuple[LocalPod, ...]:
        """This node's pods that have a network of their own, with what the network plugin said of them."""
        return tuple(
            _local_pod(key, pod, self._starting.hint(key) or self._hints.get(pod.uid))
            for key, pod in self._pods_here().items()
            if not pod.host_network and not pod.terminal
        )

    def pods_here(self) -> Iterable[Pod]:
        """This node's pods, of whatever kind."""
        return self._pods_here().values()

    def _pods_here(self) -> dict[str, Pod]:
        here = {key: self._pods[key] for key in sorted(self._local)} | self._placed()
        return {key: pod for key, pod in here.items() if pod.node == self._node}

    @property
    def attachments(self) -> Attachments:
        """What is known of the node's interfaces now."""
        return self._attachments

    def apply(self, events: Sequence[Event]) -> None:
        """Take what a source says; cheap, so that a source may call it for every chunk that it reads."""
        for event in events:
            match event:
                case Upsert(key, item):
                    self._note_said(self._put(key, item))
                case Delete(kind, key):
                    self._note_said(self._remove(kind, key))
                case Synced(kind):
                    self._synced.add(kind)
                    self._note_local()
                    self._note_said(News.CHANGES)
                case _:
                    assert_never(event)
        if events:
            self._wake.set()

    @property
    def is_complete(self) -> bool:
        """Whether every kind has been complete once."""
        return self._synced.issuperset(self._kinds.names)

    @property
    def waiting_for(self) -> tuple[str, ...]:
        """What is not complete yet: kinds, then interfaces. Nothing is enforced before (NP-048)."""
        kinds = tuple(kind for kind in self._kinds.names if kind not in self._synced)
        return kinds or (("interfaces",) if self._expects_attachments else ())

    def _note_said(self, news: News) -> None:
        self._news = max(self._news, news)
        self._said += 1

    @property
    def said(self) -> int:
        """How often something was said so far: while that is the same, so is `state`."""
        return self._said

    @property
    def is_taken(self) -> bool:
        """Whether nothing was said since changes were last taken, so that `state` is what these came to."""
        return self._said == self._taken

    def take_news(self) -> News:
        """What was said since the last call."""
        news, self._news = self._news, News.NOTHING
        return news

    def take_policy_times(self) -> dict[str, float]:
        """When each policy that has changed since the last call first did so, by the monotonic clock."""
        times, self._policy_times = self._policy_times, {}
        return times

    def policy_changes(self) -> int | None:
        """How often something was said of policies so far; None until everything is known."""
        return self._policy_changes if self.is_complete else None

    def take_changes(self) -> list[ObjectChange] | None:
        """What became of objects since the last call; None the first time.

        Pods of this node of which plugin or runtime know more than the API server are as these say.
        """
        self._taken = self._said
        before, self._before = self._before, {name: {} for name in self._kinds.names}
        told, self._told = self._told, self._placed()
        if told is None:
            return None
        found = [
            ObjectChange(key, item, self._objects[kind].get(key))
            for kind, items in before.items()
            if kind != POD.name
            for key, item in items.items()
        ]
        pods = cast(dict[str, Pod | None], before[POD.name])
        for key in dict.fromkeys((*pods, *told, *self._told)):
            now = self._pods.get(key)
            was = told[key] if key in told else pods.get(key, now)
            found.append(ObjectChange(key, was, self._told.get(key, now)))
        return found

    def state(self) -> ClusterState:
        """The cluster now, as a value: later events do not change it."""
        return ClusterState(
            {**{name: dict(found) for name, found in self._objects.items()}, POD.name: self._hinted()},
            self._attachments,
            self._missing_namespaces,
            self._kinds,
        )

    @property
    def _pods(self) -> dict[str, Pod]:
        return cast(dict[str, Pod], self._objects[POD.name])

    def _hinted(self) -> dict[str, Pod]:
        """The pods, those of this node with what their network plugin and the runtime said of them."""
        return {**self._pods, **self._placed()}

    def _placed(self) -> dict[str, Pod]:
        """The pods of which plugin or runtime say something else than the API server.

        What the API server gives to another live pod is that pod's: a plugin's hint may be stale.
        """
        others, waiting = self._here_now()
        if not waiting:
            return others
        pods = {**self._pods, **others}
        live = [p for p in pods.values() if not p.terminal and not p.host_network]
        v4, v6 = {p.v4 for p in live}, {p.v6 for p in live}
        found = dict(others)
        for key in waiting:
            hint = self._hints[pods[key].uid]
            found[key] = replace(
                pods[key],
                v4=None if hint.v4 in v4 else hint.v4,
                v6=None if hint.v6 in v6 else hint.v6,
            )
        return found

    def _hinted_at(self) -> dict[str, Hint]:
        """What the plugin says of pods of which nobody else says an address; costs this node's pods alone."""
        _, waiting = self._here_now()
        return {key: self._hints[self._pods[key].uid] for key in waiting}

    def _here_now(self) -> tuple[dict[str, Pod], list[str]]:
        """This node's pods that the runtime places elsewhere, and those that wait for the plugin's word."""
        if self._here is None:
            local = {key: self._pods[key] for key in self._local}
            placed = self._starting.placed(local) if self._starting else local
            waiting = [key for key, pod in placed.items() if self._hints and self._is_waiting(pod)]
            self._here = {key: pod for key, pod in placed.items() if pod != local[key]}, waiting
        return self._here

    def _put(self, key: str, item: KubeObject) -> News:
        kind, news = self._kinds.of(item).name, News.CHANGES
        if isinstance(item, Pod) and item.node == self._node:
            known = self._pods.get(key)
            hint = self._starting.hint(key) or self._hints.get(item.uid)
            if not item.has_address and hint is None:
                news = News.IDLE
            elif known is None or (known.node, known.v4, known.v6) != (item.node, item.v4, item.v6):
                self._to_look, news = True, News.STARTS
            self._starting.see(key, item)
            self._note_local()
        self._note_policy(kind, key)
        self._note_change(kind, key, self._objects[kind].get(key), item)
        self._objects[kind][key] = item
        return news

    def _remove(self, kind: str, key: str) -> News:
        gone, news = self._objects[kind].pop(key, None), News.CHANGES
        if isinstance(gone, Pod) and gone.node == self._node:
            self._starting.see(key, None)
            self._note_local()
            news = News.IDLE
        self._note_change(kind, key, gone, None)
        self._note_policy(kind, key)
        return news

    def _note_change(self, kind: str, key: str, before: KubeObject | None, after: KubeObject | None) -> None:
        """Remember what an object was when somebody asked last; servers often say the same again."""
        if kind == POD.name:
            self._local.discard(key)
            if isinstance(after, Pod) and after.node == self._node:
                self._local.add(key)
        if before != after:
            self._before[kind].setdefault(key, before)

    def _note_policy(self, kind: str, key: str) -> None:
        if kind in self._policies:
            self._policy_times.setdefault(key, time.monotonic())
            self._policy_changes += 1


def _are_fewer(now: Attachments, before: Attachments) -> bool:
    """Whether pods and their ports have gone, and nothing else is another."""
    fewer = now.pods.items() <= before.pods.items() and set(now.ports) <= set(before.ports)
    return fewer and replace(before, pods=now.pods, ports=now.ports) == now


def _interface(attachments: Attachments, key: str) -> str | None:
    found = attachments.pods.get(key)
    return None if found is None else found.interface


def _local_pod(key: str, pod: Pod, hint: Hint | None) -> LocalPod:
    addresses = frozenset((family, a) for family, a in ((4, pod.v4), (6, pod.v6)) if a is not None)
    if hint is None:
        return LocalPod(key, addresses)
    return LocalPod(key, addresses, hint.interfaces, hint.mac, hint.netns)
