"""The agent's HTTP server: is it alive, is it ready, how does it fare.

/livez never depends on the API server or the kernel: an answer shows that the event loop runs, and nothing
else would be mended by a restart. /debug is for this node alone.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import Protocol

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from policyd.errors import EnvironmentRefused


class Told(Protocol):
    """Who knows the answers."""

    def unready(self) -> tuple[tuple[str, str], ...]:
        """What keeps the agent from being ready, by name, with a sentence each."""

    def render_metrics(self) -> bytes:
        """The metrics in Prometheus' text format."""

    def state(self) -> dict[str, object]:
        """What a person wants to know."""

    def ruleset(self) -> str:
        """The script of what is in force."""

    async def objects(self) -> str:
        """What is known of the cluster, as a list of manifests."""

    def log(self) -> str:
        """The last lines of the log."""


def make_app(told: Told) -> web.Application:
    """The server's routes."""

    async def livez(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        found = told.unready()
        body = "\n".join(f"[-] {name}: {text}" for name, text in found) if found else "ok"
        return web.Response(text=f"{body}\n", status=503 if found else 200)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=told.render_metrics(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def debug_state(_: web.Request) -> web.Response:
        text = json.dumps(told.state(), indent=2, default=str)
        return web.Response(text=f"{text}\n", content_type="application/json")

    async def debug_ruleset(_: web.Request) -> web.Response:
        return web.Response(text=told.ruleset())

    async def debug_objects(_: web.Request) -> web.Response:
        return web.Response(text=f"{await told.objects()}\n", content_type="application/json")

    async def debug_log(_: web.Request) -> web.Response:
        return web.Response(text=told.log())

    app = web.Application(middlewares=[_debug_is_local])
    app.add_routes(
        [
            web.get("/livez", livez),
            web.get("/healthz", livez),
            web.get("/readyz", readyz),
            web.get("/metrics", metrics),
            web.get("/debug/state", debug_state),
            web.get("/debug/ruleset", debug_ruleset),
            web.get("/debug/objects", debug_objects),
            web.get("/debug/log", debug_log),
        ]
    )
    return app


@web.middleware
async def _debug_is_local(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    if request.path.startswith("/debug") and not _is_loopback(request.remote):
        raise web.HTTPForbidden(text="only from this node: /debug answers to loopback addresses\n")
    return await handler(request)


def _is_loopback(address: str | None) -> bool:
    if address is None:
        return False
    found = ip_address(address.partition("%")[0])
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback


async def serve(app: web.Application, listen: str) -> web.AppRunner:
    """Listen on HOST:PORT. Raises EnvironmentRefused when that cannot be."""
    host, _, port = listen.rpartition(":")
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host.strip("[]") or None, int(port)).start()
    except (OSError, ValueError) as error:
        await runner.cleanup()
        reason = getattr(error, "strerror", None) or error
        raise EnvironmentRefused(
            f"cannot listen on {listen}: {reason}; --listen chooses another address"
        ) from error
    return runner
