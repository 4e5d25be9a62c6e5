"""What may change in a cluster, and what became of the ruleset since."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from policyd.kube.objects import KubeObject, Pod
from policyd.kube.registry import KINDS
from policyd.pipeline import Ruleset
from policyd_compiler.delta import Changes


@dataclass(frozen=True, slots=True)
class ObjectChange:
    """What an object was, and what it is now; None where there is none of that kind and key."""

    key: str
    before: KubeObject | None
    after: KubeObject | None


def keep_policies(policies: dict[str, KubeObject], changes: Iterable[ObjectChange]) -> None:
    """Make of the policies of all kinds, by key, what they are once these changes are in force."""
    for change in changes:
        item = change.after or change.before
        if item is None or not KINDS.of(item).policy:
            continue
        if change.after is None:
            policies.pop(change.key, None)
        else:
            policies[change.key] = change.after


def in_turn(changes: Iterable[ObjectChange], node: str) -> list[list[ObjectChange]]:
    """Changes in groups that may be brought into force one after the other, for this node.

    Pods of other nodes, which are elements, come before its own, which are chains: elements that change
    together with the chains that ask for them have to be written beside as a whole. One group where other
    objects change, too, or where pods of both kinds have an address in common.
    """
    known = [change for change in changes if change.before != change.after]
    here, elsewhere = list[ObjectChange](), list[ObjectChange]()
    for change in known:
        pods = [pod for pod in (change.before, change.after) if isinstance(pod, Pod)]
        if not pods:
            return [known]
        (here if any(pod.node == node for pod in pods) else elsewhere).append(change)
    if not here or not elsewhere or _addresses(here) & _addresses(elsewhere):
        return [known]
    return [elsewhere, here]


def _addresses(changes: Iterable[ObjectChange]) -> set[int]:
    objects = (item for change in changes for item in (change.before, change.after))
    found = (address for pod in objects if isinstance(pod, Pod) for address in (pod.v4, pod.v6))
    return {address for address in found if address is not None}


@dataclass(frozen=True, slots=True)
class Step:
    """The ruleset after a change, and by part and address what look-ups find before and after.

    `since`: the ruleset before. `changes`: None where more than elements of sets and maps may differ.
    """

    since: Ruleset
    ruleset: Ruleset
    changes: Changes | None
