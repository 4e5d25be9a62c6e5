"""What the agent answers over HTTP: is it alive, is it ready, how does it fare; and to root, everything else.

/livez never depends on the API server or the kernel: an answer shows that the event loop runs, and nothing
else would be fixed by a restart. Whether anybody can ask decides nothing about enforcement.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from policyd.agent.reporting.bounded import BoundedServer, Bounds, Handler
from policyd.agent.reporting.conditions import Condition
from policyd.agent_api import AgentState

log = logging.getLogger(__name__)

#: So soon is a place tried again that somebody else has, or that has gone.
RETRY_SECONDS = 2.0
#: Metrics are made at most so often, no matter how many ask for them.
METRICS_SECONDS = 0.5
#: Connections that the kernel holds ready; all of them are taken at once.
BACKLOG = 32
PUBLIC = Bounds()
#: What root asks for may be large.
DEBUG = Bounds(connections=8, seconds=120.0)


class StatusProvider(Protocol):
    """What knows the answers."""

    def unready(self) -> tuple[tuple[str, str], ...]:
        """What keeps the agent from being ready, by name, with a sentence each."""

    def render_metrics(self) -> bytes:
        """The metrics in Prometheus' text format."""

    def state(self) -> AgentState:
        """What a person wants to know."""

    def ruleset(self) -> str:
        """The script of what is in force."""

    async def objects(self) -> str:
        """What is known of the cluster, as a list of manifests."""

    def attachments(self) -> dict[str, object]:
        """By which interface each pod of this node is attached to it."""

    def log(self) -> str:
        """The last lines of the log."""


def public(status: StatusProvider) -> dict[str, Handler]:
    """What anybody may ask who can connect."""
    made, at = b"", float("-inf")

    async def livez() -> web.Response:
        return web.Response(text="ok\n")

    async def readyz() -> web.Response:
        found = status.unready()
        body = "\n".join(f"[-] {name}: {text}" for name, text in found) if found else "ok"
        return web.Response(text=f"{body}\n", status=503 if found else 200)

    async def metrics() -> web.Response:
        nonlocal made, at
        now = asyncio.get_running_loop().time()
        if now - at >= METRICS_SECONDS:
            made, at = status.render_metrics(), now
        return web.Response(body=made, headers={"Content-Type": CONTENT_TYPE_LATEST})

    return {"/livez": livez, "/healthz": livez, "/readyz": readyz, "/metrics": metrics}


def private(status: StatusProvider) -> dict[str, Handler]:
    """What only root may ask: all pods, labels and policies of the cluster are in it."""

    async def state() -> web.Response:
        text = status.state().model_dump_json(indent=2)
        return web.Response(text=f"{text}\n", content_type="application/json")

    async def ruleset() -> web.Response:
        return web.Response(text=status.ruleset())

    async def objects() -> web.Response:
        return web.Response(text=f"{await status.objects()}\n", content_type="application/json")

    async def attachments() -> web.Response:
        text = json.dumps(status.attachments(), indent=2)
        return web.Response(text=f"{text}\n", content_type="application/json")

    async def lines() -> web.Response:
        return web.Response(text=status.log())

    return {
        **public(status),
        "/debug/state": state,
        "/debug/ruleset": ruleset,
        "/debug/objects": objects,
        "/debug/attachments": attachments,
        "/debug/log": lines,
    }


class Listener:
    """Keeps a server listening at one place, HOST:PORT or the path of a socket; `run` is its only task."""

    def __init__(self, place: str | Path, handlers: Mapping[str, Handler], bounds: Bounds = PUBLIC) -> None:
        self._place, self._handlers, self._bounds = place, handlers, bounds
        self._trouble = ""

    def conditions(self) -> tuple[Condition, ...]:
        """Whether nobody can ask. What is enforced does not depend on it."""
        return (Condition("http-unavailable", self._trouble, degraded=False),) if self._trouble else ()

    async def run(self) -> None:
        """Listen until cancelled; what fails is tried again."""
        while True:
            try:
                await self._listen()
            except (OSError, ValueError) as error:
                self._complain(f"{getattr(error, 'strerror', None) or error}".lower())
            await asyncio.sleep(RETRY_SECONDS)

    async def _listen(self) -> None:
        """Listen as long as the place is there."""
        runner = web.ServerRunner(BoundedServer(self._handlers, self._bounds), shutdown_timeout=1.0)
        await runner.setup()
        mark = None
        try:
            if isinstance(self._place, Path):
                await web.SockSite(runner, open_private_socket(self._place), backlog=BACKLOG).start()
            else:
                host, _, port = self._place.rpartition(":")
                await web.TCPSite(runner, host.strip("[]") or None, int(port), backlog=BACKLOG).start()
            self._trouble = ""
            mark = _mark(self._place)
            while _mark(self._place) == mark:  # noqa: ASYNC110 a file has no event
                await asyncio.sleep(RETRY_SECONDS)
        finally:
            await runner.cleanup()
            if isinstance(self._place, Path) and mark is not None and _mark(self._place) == mark:
                self._place.unlink()
        raise OSError("somebody removed the socket")

    def _complain(self, reason: str) -> None:
        setting = "--run-dir" if isinstance(self._place, Path) else "--listen"
        text = f"cannot listen on {self._place}: {reason}; {setting} chooses another place"
        if text != self._trouble:
            log.error("nobody can ask the agent here", extra={"event": "http.unavailable", "reason": text})
        self._trouble = text


def open_private_socket(path: Path) -> socket.socket:
    """A bound socket for its owner alone, in the place of one that nobody listens on. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other, suppress(FileNotFoundError):
            try:
                other.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()  # of an agent that was killed
            else:
                raise OSError("another agent listens there")
        # Until `listen` nobody can connect, so there is no moment in which others may.
        opened.bind(str(path))
        os.chmod(path, 0o600)  # noqa: PTH101 the same by the path's own method
    except BaseException:
        opened.close()
        raise
    return opened


def _mark(place: str | Path) -> int | None:
    """What a place is as long as it is ours: the number of the socket's file."""
    if not isinstance(place, Path):
        return 0
    try:
        return place.stat().st_ino
    except OSError:
        return None
