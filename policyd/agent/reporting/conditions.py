"""What may degrade enforcement, as values: for readiness, metrics, Events and `policyd status`. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from policyd.agent.reporting.status import AgentStatus
from policyd.cluster.findings import NAMES as ADDRESS_NAMES
from policyd.cluster.findings import Finding
from policyd.node.findings import NAMES as NODE_NAMES
from policyd.watcher.status import WatchStatus

#: Bookmarks come once a minute and say that nothing is missing; after three without one something is wrong.
STALE_SECONDS = 180.0
#: Findings that a condition names; the rest is counted, and all are in the log.
_NAMED = 4


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that is not as it should be. `degraded`: policies may not be enforced as they stand.

    `name` is a constant word for metrics and alerts, `text` a sentence for a person, with what to do.
    """

    name: str
    text: str
    degraded: bool = True


#: Every condition by name, so that a metric can be 0 before it was ever 1, and the docs can list them.
NAMES = (
    "syncing",
    "compile-failing",
    "compile-slow",
    "apply-failing",
    "policy-quarantined",
    "policy-too-large",
    "policy-unread",
    "watch-forbidden",
    "watch-failing",
    "watch-stale",
    "file-broken",
    "state-unsaved",
    "state-unusable",
    "nothing-enforced",
    "unproved",
    "part-failing",
    "table-unwatched",
    "directory-unwatched",
    "kubelet-unread",
    "mesh-ports",
    "http-unavailable",
    "kernel-unfit",
    "node-unexamined",
    "bridge-unguarded",
    "interfaces-unread",
    "pods-unbound",
    "pods-open",
    "plugin-missing",
    "starts-unasked",
    *ADDRESS_NAMES,
    *NODE_NAMES,
)


#: A compilation that lasts so long holds up changes; those of docs/scaling.md take a third of it at most.
SLOW_SECONDS = 10.0


NOTHING_ENFORCED = "no ruleset of policyd is known to be in force on this node: it may let every packet pass"


def unwatched(directory: Path, reason: str, milliseconds: int) -> tuple[Condition, ...]:
    """A directory whose changes are not reported; none if the reason is empty."""
    text = f"{directory} cannot be watched, so it is read every {milliseconds / 1000:g} s: {reason}"
    return (Condition("directory-unwatched", text, degraded=False),) if reason else ()


def of_reconciler(status: AgentStatus, waiting_for: tuple[str, ...], now: float) -> tuple[Condition, ...]:
    """What keeps the ruleset from being in force. `now` is the monotonic clock's."""
    found: list[Condition] = []
    if waiting_for:
        found.append(Condition("syncing", f"not everything has been listed yet: {', '.join(waiting_for)}"))
    elif status.enforced is None and not status.trouble:
        found.append(Condition("syncing", "the first ruleset is being compiled"))
    if status.trouble:
        text = status.trouble
        if status.attempts:
            text = f"{text}; looking for the culprit policies: {status.attempts} attempts so far"
        found.append(Condition(status.trouble_name, text))
    if status.compiling is not None and now - status.compiling >= SLOW_SECONDS:
        text = f"compiling for {now - status.compiling:.0f} s; changes wait for it, what was in force stays"
        found.append(Condition("compile-slow", text))
    if status.quarantined:
        names = _list(status.quarantined)
        text = f"these policies kept all from being brought into force, so their pods are closed: {names}"
        found.append(Condition("policy-quarantined", text, degraded=False))
    if status.too_large:
        text = f"these policies would cost too much, so their pods are closed: {_list(status.too_large)}"
        found.append(Condition("policy-too-large", text, degraded=False))
    if status.enforced is not None:
        found.extend(_of_addresses(status.enforced.findings))
    return tuple(found)


def _list(reasons: Mapping[str, str]) -> str:
    named = [f"{policy} ({reason})" for policy, reason in list(reasons.items())[:_NAMED]]
    more = f" and {len(reasons) - _NAMED} more" if len(reasons) > _NAMED else ""
    return ", ".join(named) + more


def _of_addresses(findings: tuple[Finding, ...]) -> Iterator[Condition]:
    """What is odd about the addresses that pods claim (NP-166, NP-167); those first that leave a pod open."""
    for name in ADDRESS_NAMES:
        found = sorted((f for f in findings if f.name == name), key=lambda f: not f.is_open)
        if found:
            more = f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
            text = "; ".join(finding.text for finding in found[:_NAMED]) + more
            yield Condition(name, text, degraded=found[0].is_open)


def _unread(status: WatchStatus) -> Condition:
    """Policies with something that this version does not understand: they deny what they may mean."""
    more = f" and {len(status.closed) - _NAMED} more" if len(status.closed) > _NAMED else ""
    text = (
        f"{status.kind} {', '.join(status.closed[:_NAMED])}{more}: what is not understood closes; see the log"
    )
    return Condition("policy-unread", text, degraded=False)


def of_watches(statuses: tuple[WatchStatus, ...]) -> tuple[Condition, ...]:
    """What keeps changes from arriving."""
    found: list[Condition] = []
    for status in statuses:
        if status.closed:
            found.append(_unread(status))
        stale = status.stale_seconds or 0.0
        if status.forbidden:
            text = f"{status.kind}: the API server forbids it; the ClusterRole must allow list and watch"
            found.append(Condition("watch-forbidden", text))
        elif stale > STALE_SECONDS:
            found.append(Condition("watch-stale", f"{status.kind}: no message for {stale:.0f} s"))
        elif status.trouble is not None:
            # What is in force stays in force; that it lags is certain only after a while.
            degraded = not status.synced or status.trouble.reason == "unread"
            found.append(
                Condition("watch-failing", f"{status.kind}: {status.trouble.text}", degraded=degraded)
            )
    return tuple(found)
