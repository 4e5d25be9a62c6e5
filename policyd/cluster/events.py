"""What a source of objects says. Sources emit these in order; a store applies them and becomes a state.

Whether an object is new does not matter, only that it is there (Upsert) or not (Delete), so that the state
depends on the last word about each key and on nothing that went before. A kind is said by the name that its
row in `policyd.kube.registry` has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from policyd.kube.objects import KubeObject


@dataclass(frozen=True, slots=True)
class Upsert:
    """The object exists and looks like this; its class says its kind."""

    key: str
    item: KubeObject


@dataclass(frozen=True, slots=True)
class Delete:
    """No object of this kind and key exists. `key` is `namespace/name`, or the name of what has none."""

    kind: str
    key: str


@dataclass(frozen=True, slots=True)
class Synced:
    """Everything of this kind has been said once; what follows are changes."""

    kind: str


Event: TypeAlias = Upsert | Delete | Synced
