"""What the rules yield: findings that know the path of what they are about, and not yet its line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from policyd.kube.objects import ClusterNetworkPolicy, NetworkPolicy
from policyd.kube.reading import Path
from policyd.lint.finding import Level, Named
from policyd.manifests.load import Written


@dataclass(frozen=True, slots=True)
class Change:
    """The scalar at a path of the same object is to be written otherwise.

    `append`: `new` becomes one more item behind the item at the path. `at` "key" is about the key.
    """

    path: Path
    new: str
    at: Literal["key", "value"] = "value"
    append: bool = False


@dataclass(frozen=True, slots=True)
class Draft:
    """A finding of a rule, at a path of the object that is looked at.

    `level` None is the rule's own. `hint` is a suggestion in words, `change` what it comes to if it is
    sure. `near`: what was meant stands in the objects, so it is a mistake however much was not seen.
    """

    rule: str
    path: Path
    message: str
    level: Level | None = None
    hint: str = ""
    change: Change | None = None
    near: bool = False


@dataclass(frozen=True, slots=True)
class Subject:
    """An object that is looked at: as written, if it was, and as policyd understands it.

    `policy` is None for objects that are no NetworkPolicy, or one that an API server would refuse; `tier`
    likewise for ClusterNetworkPolicies.
    `written` is None for objects of the API server.
    """

    named: Named
    raw: Mapping[str, object]
    written: Written | None
    policy: NetworkPolicy | None
    tier: ClusterNetworkPolicy | None = None

    @property
    def spec(self) -> Mapping[str, object]:
        """Its spec as it is written; empty if that is no mapping."""
        return mapping(self.raw.get("spec"))


def mapping(raw: object) -> Mapping[str, object]:
    """A raw mapping; empty for anything else."""
    return raw if isinstance(raw, dict) else {}


def items(raw: object) -> list[object]:
    """A raw list; empty for anything else."""
    return raw if isinstance(raw, list) else []
