"""The API server for `policyd doctor`: whether it answers, and lets an agent read what it needs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from policyd.config import Settings
from policyd.doctor.node_lines import Line
from policyd.errors import EnvironmentRefused
from policyd.kube.kind import Kind, Kinds
from policyd.kube.registry import followed
from policyd.watcher.failure import WatchError
from policyd.watcher.resource import accept
from policyd.watcher.transport import Access, Connection, InCluster, Timeouts, connect, find_access

_SECONDS = 10.0
_NAME = "api server"


async def api_line(
    settings: Settings, environ: Mapping[str, str] = os.environ, kinds: Kinds | None = None
) -> Line:
    """How it fares with the API server that an agent with these settings would have.

    `kinds`: what has to be listed there, unless it is what that agent follows.
    """
    access = _access(settings, environ)
    if access is None:
        return Line(_NAME, "ok", "none is configured")
    try:
        connection = await connect(access, Timeouts(connect=_SECONDS, read=_SECONDS, credentials=_SECONDS))
    except EnvironmentRefused as error:
        return Line(_NAME, "FAIL", str(error))
    try:
        return await _allowed(connection, kinds or followed(inside=settings.places() != "host"))
    finally:
        await connection.close()


def _access(settings: Settings, environ: Mapping[str, str]) -> Access | None:
    """The way there, if somebody has named one."""
    if settings.manifests is not None:
        return None
    access = find_access(settings.kubeconfig or None, settings.context or None, environ)
    named = settings.kubeconfig or settings.context or environ.get("KUBECONFIG")
    return access if named or isinstance(access, InCluster) else None


async def _status(connection: Connection, kind: Kind[Any]) -> int:
    """How a list is answered, in the best version that the server has."""
    status = 404
    for version in kind.versions:
        path = kind.path_of(version)
        async with connection.get(path, (("limit", "1"),), accept(kind, "List"), _SECONDS) as answer:
            status = answer.status
        if status != 404:
            break
    return status


async def _allowed(connection: Connection, kinds: Kinds) -> Line:
    refused: list[str] = []
    listed: list[str] = []
    for kind in kinds:
        try:
            status = await _status(connection, kind)
        except WatchError as error:
            return Line(_NAME, "FAIL", f"{error.text}; see the address in the kubeconfig, and the network")
        if status == 401:
            return Line(_NAME, "FAIL", "it does not know us (401): the token or certificate is not valid")
        if status == 200:
            listed.append(kind.name)
        elif status != 404 or not kind.optional:
            refused.append(f"{kind.name} ({status})")
    if refused:
        remedy = "the ClusterRole must allow list and watch"
        return Line(_NAME, "FAIL", f"it answers, but does not list {', '.join(refused)}: {remedy}")
    return Line(_NAME, "ok", f"it answers, and lists {', '.join(listed)}")
