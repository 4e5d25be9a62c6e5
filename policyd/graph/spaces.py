"""Which namespaces are known, with which labels, and which are missing: kept up to date pod by pod."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from policyd.cluster.resolve import made_namespace, missing_sentence
from policyd.cluster.state import ClusterState, MissingNamespaces
from policyd.kube.objects import Namespace, NetworkPolicy, Pod


class Spaces:
    """The namespaces of a cluster, those included that are only named."""

    def __init__(self, state: ClusterState) -> None:
        self._given = dict(state.namespaces)
        self._missing = state.missing_namespaces
        self._is_named = self._missing is MissingNamespaces.NAMED
        self._named: Counter[str] = Counter(p.namespace for p in state.pods.values() if self._counts(p))
        if self._is_named:
            self._named.update(policy.namespace for policy in state.policies.values())
        self._before: dict[str, Namespace | None] = {}  # of those that may have changed
        self._absent = {name for name in self._named if name not in self._given}

    def known(self, name: str) -> Namespace | None:
        """A namespace; None where its labels are not known (NP-168)."""
        given = self._given.get(name)
        if given is None and self._is_named and self._named[name] > 0:
            return made_namespace(name)
        return given

    def given(self, name: str) -> Namespace | None:
        """A namespace as it was given, None if it was only named."""
        return self._given.get(name)

    def selected_by(self, name: str) -> Namespace | None:
        """A namespace as selectors have seen it: as it was, until `take_changed` tells what became of it.

        Who goes was selected by what was, whatever goes or changes with it.
        """
        return self._before[name] if name in self._before else self.known(name)

    def give(self, before: Namespace | None, after: Namespace | None) -> None:
        """A Namespace was, and is now."""
        for each in (before, after):
            if each is not None:
                self._touch(each.name)
        if before is not None:
            self._given.pop(before.name, None)
            self._note_absent(before.name)
        if after is not None:
            self._given[after.name] = after
            self._note_absent(after.name)

    def count(self, item: Pod | NetworkPolicy, by: int) -> None:
        """Something comes or goes that is in a namespace."""
        counts = self._counts(item) if isinstance(item, Pod) else self._is_named
        if counts:
            if self._is_named:
                self._touch(item.namespace)
            self._named[item.namespace] += by
            self._note_absent(item.namespace)

    def renamed(self) -> list[str]:
        """The namespaces that `take_changed` will tell of."""
        return [name for name, before in self._before.items() if before != self.known(name)]

    def take_changed(self) -> Iterator[tuple[Namespace | None, Namespace | None]]:
        """What became of namespaces since the last time."""
        touched, self._before = self._before, {}
        for name, before in touched.items():
            after = self.known(name)
            if before != after:
                yield before, after

    def warnings(self) -> tuple[str, ...]:
        """A sentence about each that something is in and that nobody gave."""
        return tuple(missing_sentence(self._missing, name) for name in sorted(self._absent))

    def _note_absent(self, name: str) -> None:
        if self._named[name] > 0 and name not in self._given:
            self._absent.add(name)
        else:
            self._absent.discard(name)

    def _counts(self, pod: Pod) -> bool:
        return self._is_named or (pod.has_address and not pod.terminal)

    def _touch(self, name: str) -> None:
        self._before.setdefault(name, self.known(name))
