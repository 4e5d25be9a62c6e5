"""What may change in a cluster, and what became of the ruleset since."""

from __future__ import annotations

from dataclasses import dataclass

from policyd.kube.objects import KubeObject
from policyd.pipeline import Ruleset
from policyd_compiler.delta import Changes


@dataclass(frozen=True, slots=True)
class ObjectChange:
    """What an object was, and what it is now; None where there is none of that kind and key."""

    key: str
    before: KubeObject | None
    after: KubeObject | None


@dataclass(frozen=True, slots=True)
class Step:
    """The ruleset after a change, and by part and address what look-ups find before and after.

    `since`: the ruleset before. `changes`: None where more than elements of sets and maps may differ.
    """

    since: Ruleset
    ruleset: Ruleset
    changes: Changes | None
