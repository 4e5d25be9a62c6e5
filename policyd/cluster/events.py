"""What a source of objects says. Sources emit these in order; a store applies them and becomes a state.

Whether an object is new does not matter, only that it is there (Upsert) or not (Delete), so that the state
depends on the last word about each key and on nothing that went before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, assert_never

from policyd.kube.objects import KubeObject, Namespace, NetworkPolicy, Node, Pod

Kind: TypeAlias = Literal["Pod", "Namespace", "NetworkPolicy", "Node"]

KINDS: tuple[Kind, ...] = ("Pod", "Namespace", "NetworkPolicy", "Node")


@dataclass(frozen=True, slots=True)
class Upsert:
    """The object exists and looks like this."""

    key: str
    item: KubeObject


@dataclass(frozen=True, slots=True)
class Delete:
    """No object of this kind and key exists. `key` is `namespace/name`, or the name of what has none."""

    kind: Kind
    key: str


@dataclass(frozen=True, slots=True)
class Synced:
    """Everything of this kind has been said once; what follows are changes."""

    kind: Kind


Event: TypeAlias = Upsert | Delete | Synced


def key_of(item: KubeObject) -> str:
    """The key of an object: `namespace/name`, or the name of what has no namespace."""
    match item:
        case Pod() | NetworkPolicy():
            return f"{item.namespace}/{item.name}"
        case Namespace() | Node():
            return item.name
        case _:
            assert_never(item)
