"""Policies that are closed because with them nothing could be brought into force; when they are tried again.

One that is edited gets another chance: at once the first time, later after a pause that doubles, so that
somebody who edits a bad policy again and again does not hold up the others. Times are seconds of one
monotonic clock.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from policyd.cluster.state import ClusterState
from policyd.kube.objects import KubeObject

log = logging.getLogger(__name__)

#: Policies that a line of the log names.
_LOGGED = 64
_FIRST_PAUSE, _LONGEST_PAUSE = 10.0, 300.0
#: What was closed before so long ago counts as closed for the first time.
_FORGET = 3600.0


@dataclass(frozen=True, slots=True)
class _Record:
    """Why a policy is closed, as it was then; how many times that was so, and until when it stays closed."""

    policy: KubeObject
    reason: str
    times: int
    until: float


class Quarantine:
    """What is closed, by `namespace/name`, or the name of a ClusterNetworkPolicy."""

    def __init__(self) -> None:
        self._closed: dict[str, _Record] = {}
        self._next: float | None = None
        self._past: dict[str, tuple[int, float]] = {}  # how many times, and when last

    def add(self, keys: Iterable[str], reason: str, state: ClusterState, now: float) -> None:
        """Close these policies, as they are in this state."""
        self._past = {key: past for key, past in self._past.items() if now - past[1] < _FORGET}
        policies = state.every_policy
        for key in keys:
            policy = policies.get(key)
            if policy is None:
                continue
            times = self._past.get(key, (0, now))[0] + 1
            pause = 0.0 if times == 1 else min(_FIRST_PAUSE * 2.0 ** min(times - 2, 10), _LONGEST_PAUSE)
            self._past[key] = (times, now)
            self._closed[key] = _Record(policy, reason, times, now + pause)

    def release(self, state: ClusterState, now: float) -> frozenset[str]:
        """Let out what is gone, and what was edited and has waited long enough; what is closed then."""
        policies = state.every_policy if self._closed else {}
        self._closed = {
            key: record
            for key, record in self._closed.items()
            if (policy := policies.get(key)) is not None and (policy == record.policy or now < record.until)
        }
        waiting = (r.until for key, r in self._closed.items() if policies[key] != r.policy)
        self._next = min(waiting, default=None)
        return frozenset(self._closed)

    def next_release(self) -> float | None:
        """When the next edited policy will have waited long enough, as of the last `release`."""
        return self._next

    def reasons(self) -> dict[str, str]:
        """Each policy that is closed, and why."""
        return {key: self._closed[key].reason for key in sorted(self._closed)}


def log_quarantine(policies: Iterable[str], reason: str) -> None:
    """Say in the log which policies are closed, and why."""
    named = sorted(policies)
    fields = {
        "event": "policy.quarantined",
        "count": len(named),
        "policies": named[:_LOGGED],
        "reason": reason,
    }
    log.error("policies are quarantined: their pods are isolated, and they allow nothing", extra=fields)
