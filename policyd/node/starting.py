"""Addresses of pods whose network is being made, as the runtime says them: newer than the API server's.

A pod whose sandbox is made again, after a reboot all of them, has another address than its status tells, and
the status is written only when the pod runs. Until then the runtime's word holds. No I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from policyd.kube.objects import Pod
from policyd.node.attach import Hint

_Said = tuple[int | None, int | None]
_NOTHING: _Said = (None, None)


@dataclass(frozen=True, slots=True)
class _Start:
    """What the runtime says of the pod with this uid, and what the API server said at that time."""

    uid: str
    hint: Hint
    before: _Said


class Starting:
    """Hints by `namespace/name`, each until the API server says something new of the pod's addresses."""

    def __init__(self) -> None:
        self._pods: dict[str, _Start] = {}

    def __bool__(self) -> bool:
        return bool(self._pods)

    def add(self, key: str, pod: Pod, hint: Hint) -> None:
        """Believe this from now on; who was believed to have such an address has it no more."""
        for other, start in list(self._pods.items()):
            if _share(_said(start.hint), _said(hint)):
                del self._pods[other]
        self._pods[key] = _Start(pod.uid, hint, _said(pod))

    def see(self, key: str, pod: Pod | None) -> None:
        """The API server says this of a pod; None: it is gone."""
        start = self._pods.get(key)
        if start is None:
            return
        known = (start.before, _NOTHING, _said(start.hint))
        if pod is None or pod.uid != start.uid or pod.terminal or _said(pod) not in known:
            del self._pods[key]

    def hint(self, key: str) -> Hint | None:
        """What the runtime said of a pod, as long as that holds."""
        start = self._pods.get(key)
        return None if start is None else start.hint

    def placed(self, local: Mapping[str, Pod]) -> dict[str, Pod]:
        """This node's pods with the addresses that they have now; others' status may still claim them."""
        hints = {key: start.hint for key, start in self._pods.items()}
        taken4 = {hint.v4 for hint in hints.values()} - {None}
        taken6 = {hint.v6 for hint in hints.values()} - {None}
        placed = dict(local)
        for key, pod in local.items():
            if (hint := hints.get(key)) is not None:
                placed[key] = replace(pod, v4=hint.v4, v6=hint.v6)
            elif not pod.host_network and (pod.v4 in taken4 or pod.v6 in taken6):
                v4, v6 = (None if pod.v4 in taken4 else pod.v4), (None if pod.v6 in taken6 else pod.v6)
                placed[key] = replace(pod, v4=v4, v6=v6)
        return placed


def _said(of: Pod | Hint) -> _Said:
    return of.v4, of.v6


def _share(one: _Said, other: _Said) -> bool:
    return any(a is not None and a == b for a, b in zip(one, other, strict=True))
