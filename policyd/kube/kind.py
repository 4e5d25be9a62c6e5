"""A kind of Kubernetes objects as one row, and the rows that somebody follows. The rows: `registry.py`.

A row is all that the rooms need to know of a kind in order to read, keep, write and follow its objects. What
they mean for the ruleset is its own code, in `policyd.cluster`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeAlias, TypeVar, cast

from policyd.kube.metadata import Metadata
from policyd.kube.objects import KubeObject, Namespaced
from policyd.kube.reading import Reading
from policyd.kube.rename import Renaming
from policyd.kube.syntax import subdomain_mistake

T = TypeVar("T", bound=KubeObject)
Manifest: TypeAlias = dict[str, object]


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """One kind. The functions are pure, and `decode` raises nothing.

    `name`, `version` (the apiVersion that is read best) and `plural` are Kubernetes' words. Objects of
    `older` versions are read as well, where a server has no newer one; those of `former` are refused with
    a hint.
    `item` is the class of its decoded objects. `decode` gets the raw object, its metadata, and where mistakes
    go. `encode` makes a manifest that is decoded as the same object again. `rename` makes the same object
    under other names, written nowhere.

    `policy`: its objects isolate pods, so what is not understood in one closes. `optional`: a server may not
    have the kind, which then has no objects. `content` "metadata": `decode` needs nothing else of an object.
    """

    name: str
    item: type[T]
    version: str
    plural: str
    namespaced: bool
    decode: Callable[[Mapping[str, object], Metadata, Reading], T]
    encode: Callable[[T], Manifest]
    rename: Callable[[T, Renaming], T]
    policy: bool = False
    optional: bool = False
    content: Literal["whole", "metadata"] = "whole"
    older: tuple[str, ...] = ()
    former: tuple[str, ...] = ()
    name_mistake: Callable[[str], str | None] = subdomain_mistake

    @property
    def group(self) -> str:
        """Its API group; "" for Kubernetes' core."""
        return self.version.rpartition("/")[0]

    @property
    def versions(self) -> tuple[str, ...]:
        """The apiVersions that are read, the best first."""
        return (self.version, *self.older)

    @property
    def path(self) -> str:
        """Where a server lists the objects of all namespaces."""
        return self.path_of(self.version)

    def path_of(self, version: str, namespace: str = "") -> str:
        """The same for one of its versions, and of one namespace only."""
        root = "apis" if self.group else "api"
        within = f"namespaces/{namespace}/" if namespace and self.namespaced else ""
        return f"/{root}/{version}/{within}{self.plural}"

    def namespace(self, item: T) -> str:
        """The namespace of an object; "" where the kind has none."""
        return cast(Namespaced, item).namespace if self.namespaced else ""

    def key(self, item: T) -> str:
        """The key of an object: `namespace/name`, or the name of what has no namespace."""
        return f"{self.namespace(item)}/{item.name}" if self.namespaced else item.name


class Kinds(Collection[Kind[Any]]):
    """The kinds that somebody follows, sorted by name. Iterates over the rows."""

    def __init__(self, rows: Iterable[Kind[Any]]) -> None:
        """ValueError if two rows share a name or a class, or one of Kubernetes' core is optional."""
        self._rows = tuple(sorted(rows, key=lambda kind: kind.name))
        self._by_name = {kind.name: kind for kind in self._rows}
        self._by_type = {kind.item: kind for kind in self._rows}
        if not len(self._rows) == len(self._by_name) == len(self._by_type):
            raise ValueError("a kind has one row, and a class of its own")
        if any(kind.optional and not kind.group for kind in self._rows):
            raise ValueError("every server has all of Kubernetes' core")

    def __iter__(self) -> Iterator[Kind[Any]]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, kind: object) -> bool:
        return kind in self._rows

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the kinds."""
        return tuple(self._by_name)

    def named(self, name: str) -> Kind[Any] | None:
        """The kind of this name, if it is one of them."""
        return self._by_name.get(name)

    def of(self, item: KubeObject) -> Kind[Any]:
        """The kind of an object. KeyError if it is none of them, which is a bug."""
        return self._by_type[type(item)]

    def key(self, item: KubeObject) -> str:
        """The key of an object: `namespace/name`, or the name of what has no namespace."""
        return self.of(item).key(item)
