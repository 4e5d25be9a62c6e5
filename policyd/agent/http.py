"""The agent's HTTP server: is it alive, is it ready, how does it fare.

/livez never depends on the API server or the kernel: an answer shows that the event loop runs, and nothing
else would be mended by a restart. /debug is for this node alone.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from ipaddress import ip_address

from aiohttp import web

from policyd.errors import EnvironmentRefused

#: Where the agent's answers come from.
Render = Callable[[], bytes]
Check = Callable[[], tuple[tuple[str, str], ...]]
State = Callable[[], dict[str, object]]
Script = Callable[[], str]


def make_app(metrics: Render, unready: Check, state: State, ruleset: Script) -> web.Application:
    """The server's routes. `unready` names what keeps the agent from being ready, with a sentence each."""

    async def livez(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(request: web.Request) -> web.Response:
        found = unready()
        lines = [f"[-] {name}: {text}" for name, text in found]
        body = "\n".join(lines) if found else "ok"
        if not found and "verbose" in request.query:
            body = "[+] synced\n[+] applied\nok"
        return web.Response(text=f"{body}\n", status=503 if found else 200)

    async def show_metrics(_: web.Request) -> web.Response:
        return web.Response(
            body=metrics(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )

    async def debug_state(_: web.Request) -> web.Response:
        text = json.dumps(state(), indent=2, default=str)
        return web.Response(text=f"{text}\n", content_type="application/json")

    async def debug_ruleset(_: web.Request) -> web.Response:
        return web.Response(text=ruleset())

    app = web.Application(middlewares=[_debug_is_local])
    app.add_routes(
        [
            web.get("/livez", livez),
            web.get("/healthz", livez),
            web.get("/readyz", readyz),
            web.get("/metrics", show_metrics),
            web.get("/debug/state", debug_state),
            web.get("/debug/ruleset", debug_ruleset),
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
