"""A cluster with other names: of namespaces, pods, policies, nodes, labels and ports. Pure.

Equal names stay equal, different ones different, and in the same order, so that policies select the same pods
and the ruleset has the same shape. Addresses and times stay: they decide what is compiled.
"""

from __future__ import annotations

from collections.abc import Iterable

from policyd.cluster.state import ClusterState


def anonymise(state: ClusterState) -> ClusterState:
    """The same cluster under other names."""
    kinds = state.kinds
    objects = tuple((kinds.of(item), item) for item in state.objects())
    found = _Found()
    for kind, item in objects:
        kind.rename(item, found)
    names = _Names(found)
    return ClusterState.of(
        (kind.rename(item, names) for kind, item in objects), state.missing_namespaces, kinds
    )


class _Found:
    """A Renaming that changes nothing, and notes each name by its word."""

    def __init__(self) -> None:
        self.names: dict[str, set[tuple[str, str]]] = {}

    def __call__(self, word: str, name: str, within: str = "") -> str:
        self.names.setdefault(word, set()).add((within, name))
        return name


class _Names:
    """The Renaming to numbers."""

    def __init__(self, found: _Found) -> None:
        self._numbers = {word: _number(word, names) for word, names in found.names.items()}

    def __call__(self, word: str, name: str, within: str = "") -> str:
        return self._numbers[word][within, name]


def _number(word: str, names: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Numbers of one width, so that they sort as the names do: as keys, where they are within a namespace."""
    found = sorted(names, key="/".join)
    width = len(str(len(found)))
    return {name: f"{word}-{number:0{width}}" for number, name in enumerate(found, start=1)}
