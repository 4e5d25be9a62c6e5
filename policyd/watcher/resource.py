"""What is watched: one value for each kind, and the questions that the API server is asked about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from policyd.cluster.events import Kind

Query: TypeAlias = tuple[tuple[str, str], ...]

#: client-go's habit, too: small enough for the server's memory, large enough not to need many round trips.
PAGE = 500


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind and where it is served. `metadata`: nothing but the objects' metadata is asked for."""

    kind: Kind
    path: str
    content: Literal["whole", "metadata"] = "whole"

    def accept(self, of: Literal["List", ""]) -> str:
        """The Accept header of a list or, with "", of a watch."""
        if self.content == "whole":
            return "application/json"
        # A server that does not know the first form sends whole objects, which are read just as well.
        return f"application/json;as=PartialObjectMetadata{of};g=meta.k8s.io;v=v1,application/json"


RESOURCES: tuple[Resource, ...] = (
    Resource("Namespace", "/api/v1/namespaces", "metadata"),
    Resource("NetworkPolicy", "/apis/networking.k8s.io/v1/networkpolicies"),
    Resource("Node", "/api/v1/nodes"),
    Resource("Pod", "/api/v1/pods"),
)


def page_query(token: str) -> Query:
    """One page of a list; the first one has no token."""
    limit = ("limit", str(PAGE))
    return (limit, ("continue", token)) if token else (limit,)


def watch_query(version: str, seconds: int) -> Query:
    """Changes after a resourceVersion; without one, the list first, as a stream of ADDED events."""
    common = (("watch", "true"), ("allowWatchBookmarks", "true"), ("timeoutSeconds", str(seconds)))
    if version:
        return (*common, ("resourceVersion", version))
    # No resourceVersion: at least as new as anything that the server has acknowledged before.
    return (*common, ("sendInitialEvents", "true"), ("resourceVersionMatch", "NotOlderThan"))
