"""The agent's picture of the cluster: what sources have said so far. Single writer, no I/O."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import assert_never, cast

from policyd.cluster.attachments import UNKNOWN, Attachments
from policyd.cluster.events import Delete, Event, Synced, Upsert
from policyd.cluster.state import ClusterState, MissingNamespaces
from policyd.graph.graph import PodChange
from policyd.kube.kind import Kinds
from policyd.kube.objects import KubeObject, Pod
from policyd.kube.registry import KINDS, POD
from policyd.node.attach import Hint, KnownPod, KnownPods, LocalPod
from policyd.node.starting import Starting


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
        self._changed = False
        self._objects: dict[str, dict[str, KubeObject]] = {name: {} for name in kinds.names}
        self._policies = frozenset(kind.name for kind in kinds if kind.policy)
        self._synced: set[str] = set()
        self._urgent = False
        self._local: set[str] = set()  # keys of this node's pods
        self._pods_before: dict[str, Pod | None] = {}  # of those that changed since somebody asked
        self._more_changed = True  # than pods, since somebody asked
        self._policy_times: dict[str, float] = {}
        self._hints: Mapping[str, Hint] = {}
        self._starting = Starting()
        self._known_pods: KnownPods | None = None  # this and the next: until something local changes
        self._overridden: bool | None = None
        self._attachments = UNKNOWN
        self._expects_attachments = False
        #: Set when this node's pods, or what is known of their addresses and interfaces, may have changed.
        self.local_changed = asyncio.Event()

    def hint(self, hints: Mapping[str, Hint]) -> None:
        """What this node's network plugin says of pods' addresses, by uid: all that it says now."""
        self._hints = hints
        self._note_local()
        if self._is_any_waiting():
            self._changed = self._urgent = self._more_changed = True
            self._wake.set()

    def start(self, key: str, hint: Hint) -> None:
        """What the runtime says of a pod of this node whose network is being made, and which is known.

        It holds until the API server says something new of the pod's addresses.
        """
        self._starting.add(key, self._pods[key], hint)
        self._note_local()
        self._changed = self._urgent = self._more_changed = True
        self._wake.set()

    def _note_local(self) -> None:
        self._known_pods = self._overridden = None
        self.local_changed.set()

    def known_pods(self) -> KnownPods:
        """This node's pods as a ruleset has them that is made now."""
        if self._known_pods is None:
            self._known_pods = {
                pod.key: KnownPod(
                    self._pods[pod.key].uid, pod.addresses, _interface(self._attachments, pod.key)
                )
                for pod in self.local_pods()
            }
        return self._known_pods

    def _is_any_waiting(self) -> bool:
        if self._overridden is None:
            said = {key: self._pods[key] for key in self._local}
            self._overridden = bool(self._starting) and self._starting.placed(said) != said
        if self._overridden:
            return True
        return bool(self._hints) and any(self._is_waiting(self._pods[key]) for key in self._local)

    def _is_waiting(self, pod: Pod) -> bool:
        """A pod of this node whose address the API server does not know yet, but its network plugin does."""
        return pod.node == self._node and not pod.has_address and not pod.terminal and pod.uid in self._hints

    def expect_attachments(self) -> None:
        """Wait for what this node's links say: the first ruleset must not unbind pods that are bound."""
        self._expects_attachments = True

    def attach(self, attachments: Attachments, *, complete: bool = True) -> None:
        """What this node's links say: which interface leads to which of its pods.

        `complete`: all its pods were known when they were read.
        """
        if attachments != self._attachments:
            self._attachments, self._known_pods = attachments, None
            self._changed = self._more_changed = True
            self._wake.set()
        if complete and self._expects_attachments:
            self._expects_attachments = False
            self._wake.set()

    def local_pods(self) -> tuple[LocalPod, ...]:
        """This node's pods that have a network of their own, with what the network plugin said of them."""
        return tuple(
            _local_pod(key, pod, self._starting.hint(key) or self._hints.get(pod.uid))
            for key, pod in self._hinted().items()
            if pod.node == self._node and not pod.host_network and not pod.terminal
        )

    @property
    def attachments(self) -> Attachments:
        """What is known of the node's interfaces now."""
        return self._attachments

    def apply(self, events: Sequence[Event]) -> None:
        """Take what a source says; cheap, so that a source may call it for every chunk that it reads."""
        for event in events:
            match event:
                case Upsert(key, item):
                    self._put(key, item)
                case Delete(kind, key):
                    gone = self._objects[kind].pop(key, None)
                    if isinstance(gone, Pod) and gone.node == self._node:
                        self._starting.see(key, None)
                        self._note_local()
                    self._note_change(kind, key, gone, None)
                    self._note_policy(kind, key)
                case Synced(kind):
                    self._synced.add(kind)
                    self._note_local()
                case _:
                    assert_never(event)
        if events:
            self._changed = True
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

    def take_changed(self) -> bool:
        """Whether anything was said since the last call."""
        changed, self._changed = self._changed, False
        return changed

    def take_policy_times(self) -> dict[str, float]:
        """When each policy that has changed since the last call first did so, by the monotonic clock."""
        times, self._policy_times = self._policy_times, {}
        return times

    def take_urgent(self) -> bool:
        """Whether a pod of this node has come, or got its address, since the last call.

        It is closed until it is compiled.
        """
        urgent, self._urgent = self._urgent, False
        return urgent

    def take_pods(self) -> list[PodChange] | None:
        """What became of pods since the last call; None if more than that changed, or may have.

        While a pod has an address from its network plugin alone, what other pods claim may change it.
        """
        before, self._pods_before = self._pods_before, {}
        more, self._more_changed = self._more_changed, self._is_any_waiting()
        if more or self._more_changed:
            return None
        return [PodChange(key, pod, self._pods.get(key)) for key, pod in before.items()]

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
        """The pods, those that wait for an address with what the network plugin said of it.

        What the API server gives to another live pod is that pod's: a hint may be stale.
        """
        pods = dict(self._pods)
        if self._starting:
            pods |= self._starting.placed({key: pods[key] for key in self._local})
        waiting = {k: p for k, p in pods.items() if self._is_waiting(p)} if self._hints else {}
        if waiting:
            live = [p for p in pods.values() if not p.terminal and not p.host_network]
            v4, v6 = {p.v4 for p in live}, {p.v6 for p in live}
            for key, pod in waiting.items():
                hint = self._hints[pod.uid]
                pods[key] = replace(
                    pod,
                    v4=None if hint.v4 in v4 else hint.v4,
                    v6=None if hint.v6 in v6 else hint.v6,
                )
        return pods

    def _put(self, key: str, item: KubeObject) -> None:
        kind = self._kinds.of(item).name
        if isinstance(item, Pod) and item.node == self._node:
            known = self._pods.get(key)
            if known is None or (known.node, known.v4, known.v6) != (item.node, item.v4, item.v6):
                self._urgent = True
            self._starting.see(key, item)
            self._note_local()
        self._note_policy(kind, key)
        self._note_change(kind, key, self._objects[kind].get(key), item)
        self._objects[kind][key] = item

    def _note_change(self, kind: str, key: str, before: KubeObject | None, after: KubeObject | None) -> None:
        """Remember what an object was when somebody asked last; servers often say the same again."""
        if kind != POD.name:
            self._more_changed = self._more_changed or before != after
            return
        self._local.discard(key)
        if isinstance(after, Pod) and after.node == self._node:
            self._local.add(key)
        if before != after:
            self._pods_before.setdefault(key, before if isinstance(before, Pod) else None)

    def _note_policy(self, kind: str, key: str) -> None:
        if kind in self._policies:
            self._policy_times.setdefault(key, time.monotonic())


def _interface(attachments: Attachments, key: str) -> str | None:
    found = attachments.pods.get(key)
    return None if found is None else found.interface


def _local_pod(key: str, pod: Pod, hint: Hint | None) -> LocalPod:
    addresses = frozenset((family, a) for family, a in ((4, pod.v4), (6, pod.v6)) if a is not None)
    return LocalPod(key, addresses) if hint is None else LocalPod(key, addresses, hint.interfaces, hint.mac)
