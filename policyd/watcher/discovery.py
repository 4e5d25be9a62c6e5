"""Whether the API server has a kind, asked of its discovery.

That a list is refused says little: a proxy, or a server that is starting, refuses what it will have in a
moment. Discovery says positively what there is, so what is not in it is not there.
"""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json

from policyd.kube.kind import Kind
from policyd.watcher.failure import WatchError
from policyd.watcher.message import read_refusal
from policyd.watcher.transport import Transport

#: How long an answer may take: discovery is a few kilobytes, which the server has at hand.
SECONDS = 30.0


async def served_version(transport: Transport, kind: Kind[Any]) -> str | None:
    """The apiVersion in which the server has the kind, best the first that is read; None if it has none.

    Raises WatchError where discovery cannot be read or contradicts itself: then nothing is known.
    """
    known = await _plurals(transport, kind.version)
    if known is not None and kind.plural in known:
        return kind.version
    found = await _versions(transport, kind.group)
    read = tuple(version for version in kind.versions if version in found)
    for version in dict.fromkeys((*read, *found)):
        plurals = known if version == kind.version else await _plurals(transport, version)
        if plurals is None:
            raise WatchError("missing", f"discovery lists {version}, and does not have it")
        if kind.plural in plurals:
            return version
    return None


async def _versions(transport: Transport, group: str) -> tuple[str, ...]:
    """The apiVersions of a group; none if there is no such group."""
    answer = await _ask(transport, "/apis", "APIGroupList")
    if answer is None:
        raise WatchError("missing", "the API server has no discovery")
    found = [entry for entry in _entries(answer, "groups") if entry.get("name") == group]
    return tuple(
        str(version.get("groupVersion")) for entry in found for version in _entries(entry, "versions")
    )


async def _plurals(transport: Transport, version: str) -> frozenset[str] | None:
    """The resources of an apiVersion; None if there is no such version."""
    answer = await _ask(transport, f"/apis/{version}", "APIResourceList")
    if answer is None:
        return None
    return frozenset(str(entry.get("name")) for entry in _entries(answer, "resources"))


async def _ask(transport: Transport, path: str, kind: str) -> dict[str, object] | None:
    async with transport.get(path, (), "application/json", SECONDS) as answer:
        body = b"".join([chunk async for chunk in answer.chunks])
    if answer.status == 404:
        return None
    if answer.status != 200:
        raise read_refusal(answer.status, body, answer.retry_after)
    try:
        raw = from_json(body)
    except ValueError:
        raw = None
    if not isinstance(raw, dict) or raw.get("kind") != kind:
        raise WatchError("malformed", f"the answer to {path} is no {kind}")
    return raw


def _entries(raw: dict[str, object], field: str) -> list[dict[str, object]]:
    found = raw.get(field)
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise WatchError("malformed", f"{field} of discovery is no list of mappings")
    return found
