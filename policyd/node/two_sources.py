"""This node's pods by two sources: the API server, and the kubelet, which says the same of its own pods.

What a pod is to be, its labels and ports, is known by resourceVersion (comparable within a kind, KEP-5504):
the newer counts. Its status the kubelet writes itself, and tells with a version that it had before; so its
word of addresses counts, whatever the version. No I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from policyd.cluster.events import Delete, Event, Upsert
from policyd.kube.objects import Pod
from policyd.kube.registry import POD


@dataclass(frozen=True, slots=True)
class Word:
    """What the kubelet says of a pod. `ended`: for good; then no more than its names and uid may be known."""

    pod: Pod
    ended: bool = False


def merge(api: Pod | None, word: Word | None) -> Pod | None:
    """The pod of a name by what both say of it; None: there is none.

    The API server's version is the first that said the same, so that a word of a later one is at least as
    new. A static pod has none: once the API server has its mirror, which people see and label, that counts.
    """
    if api is None or word is None:
        return api if word is None else None if word.ended else word.pod
    said = word.pod
    if said.uid != api.uid:
        return said if said.version > api.version and not word.ended else api
    if word.ended:
        # Its address may be given away, whatever the API server was told until now.
        return replace(api, terminal=True)
    newer = said if said.version >= api.version else api
    placed = said if said.has_address else api
    terminal = said.terminal or api.terminal
    return replace(newer, v4=placed.v4, v6=placed.v6, started=said.started, terminal=terminal)


class TwoSources:
    """Gives a sink what one source would say that knew both."""

    def __init__(self, node: str, sink: Callable[[Sequence[Event]], None]) -> None:
        self._node, self._sink = node, sink
        self._api: dict[str, Pod] = {}  # those of this node, or of none yet, and whose names are in `_words`
        self._words: dict[str, Word] = {}
        self._told: dict[str, Pod] = {}  # what the sink has of all these
        self._deleted: set[str] = set()  # uids, of which the kubelet may speak for a while yet

    def api(self, events: Sequence[Event]) -> None:
        """The API server says this."""
        self._emit(found for event in events for found in self._take(event))

    def kubelet(self, words: Iterable[Word]) -> None:
        """The kubelet says this of some of its pods."""
        self._emit(found for word in words for found in self._settle(self._note(word)))

    def kubelet_has(self, words: Iterable[Word]) -> None:
        """The kubelet says all that it has; what it does not, the API server may have nevertheless."""
        words = tuple(words)
        self._deleted &= {word.pod.uid for word in words}
        keys = dict.fromkeys(self._words)
        self._words = {}
        keys.update(dict.fromkeys(map(self._note, words)))
        self._emit(found for key in keys for found in self._settle(key))

    def forget_kubelet(self) -> None:
        """Nothing is heard of the kubelet any more: what the API server says is all there is."""
        self.kubelet_has(())

    def __len__(self) -> int:
        """Of how many pods the kubelet has said something."""
        return len(self._words)

    def _emit(self, events: Iterable[Event]) -> None:
        if found := list(events):
            self._sink(found)

    def _take(self, event: Event) -> Iterable[Event]:
        match event:
            case Upsert(key, Pod() as pod):
                if pod.node not in (None, self._node) and key not in self._told:
                    return (event,)  # another node's, as nearly all are
                self._deleted.discard(pod.uid)
                self._api[key] = pod
                found = self._settle(key)
                if pod.node not in (None, self._node) and key not in self._words:
                    del self._api[key], self._told[key]  # it was nobody's, and is another node's now
                return found
            case Delete(POD.name, key) if key in self._told:
                word = self._words.get(key)
                if key in self._api and word is not None and word.pod.uid == self._api[key].uid:
                    self._deleted.add(word.pod.uid)
                    del self._words[key]
                self._api.pop(key, None)
                return self._settle(key)
            case _:
                return (event,)

    def _note(self, word: Word) -> str:
        """Remember a word, unless it is of a pod that is over; the pod's key."""
        key = f"{word.pod.namespace}/{word.pod.name}"
        known = self._words.get(key)
        is_same = known is not None and known.pod.uid == word.pod.uid
        if word.ended and known is not None:
            if is_same:
                self._words[key] = Word(known.pod, ended=True)
        elif word.pod.uid in self._deleted or (not word.ended and word.pod.node != self._node):
            pass
        elif known is None or is_same or known.ended or known.pod.version <= word.pod.version:
            self._words[key] = word
        return key

    def _settle(self, key: str) -> Iterable[Event]:
        """What is to be said of a name now."""
        before, now = self._told.get(key), merge(self._api.get(key), self._words.get(key))
        if now == before:
            return ()
        if now is None:
            del self._told[key]
            return (Delete(POD.name, key),)
        self._told[key] = now
        return (Upsert(key, now),)
