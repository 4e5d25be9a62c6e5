"""Selectors of namespaces, where a namespace is not among the objects: only its name is known. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from policyd.cluster.index import PodIndex
from policyd.kube.objects import NAME_LABEL, LabelSelector, Namespace, Pod
from policyd.kube.selectors import matches


class DoubtingIndex(PodIndex):
    """Masks of pods, of which some are in namespaces that are not known.

    `generous`: their pods count as selected wherever they may be; without, only where they must be.
    """

    def __init__(
        self,
        pods: Iterable[Pod],
        namespaces: Mapping[str, Namespace],
        unknown: Collection[str],
        *,
        generous: bool,
    ) -> None:
        super().__init__(tuple(pods), namespaces)
        self._unknown = tuple(sorted(unknown))
        self._generous = generous

    def in_namespaces(self, selector: LabelSelector) -> int:
        """The pods of every namespace that a selector matches."""
        mask = super().in_namespaces(selector)
        for name in self._unknown:
            found = matches_unknown(selector, name)
            if found or (found is None and self._generous):
                mask |= self.in_namespace(name)
        return mask


def matches_unknown(selector: LabelSelector, name: str) -> bool | None:
    """Whether a namespace of this name matches, whatever its other labels are (NP-040); None: it depends."""
    known = [each for each in selector.requirements if each.key == NAME_LABEL]
    if not matches(LabelSelector(tuple(known)), {NAME_LABEL: name}):
        return False
    return True if len(known) == len(selector.requirements) else None
