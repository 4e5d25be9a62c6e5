"""The questions that the API server is asked about a kind."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from policyd.kube.kind import Kind

Query: TypeAlias = tuple[tuple[str, str], ...]

#: client-go's habit, too: small enough for the server's memory, large enough not to need many round trips.
PAGE = 500


def accept(kind: Kind[Any], of: Literal["List", ""]) -> str:
    """The Accept header of a list or, with "", of a watch."""
    if kind.content == "whole":
        return "application/json"
    # A server that does not know the first form sends whole objects, which are read just as well.
    return f"application/json;as=PartialObjectMetadata{of};g=meta.k8s.io;v=v1,application/json"


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
