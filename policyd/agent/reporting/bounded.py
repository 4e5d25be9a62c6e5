"""An HTTP server that can be held up by nobody: few, short and small connections, and room for a new one.

Who connects and says nothing makes room for who asks: of those that wait for a request the oldest is closed.
Every answer closes its connection, and no connection outlives its time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias, cast

from aiohttp import web

Handler: TypeAlias = Callable[[], Awaitable[web.Response]]


@dataclass(frozen=True, slots=True)
class Bounds:
    """`connections` at once, for `seconds` each at most, with a request of so many `bytes`."""

    connections: int = 64
    seconds: float = 10.0
    bytes: int = 16 << 10


class BoundedServer(web.Server):
    """Answers GET (and HEAD) for a few paths, within bounds."""

    def __init__(self, handlers: Mapping[str, Handler], bounds: Bounds) -> None:
        # Who has gone needs no answer any more: what is being made for it is given up.
        super().__init__(self._answer, handler_cancellation=True)
        self._handlers = handlers
        self.bounds = bounds
        self._open: dict[web.RequestHandler, asyncio.Transport] = {}
        self._waiting: dict[web.RequestHandler, asyncio.Transport] = {}

    def __call__(self) -> web.RequestHandler:
        """Make the protocol of a new connection."""
        return _Connection(
            self, loop=self._loop, access_log=None, keepalive_timeout=0, lingering_time=0, max_headers=64
        )

    def admit(self, connection: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Make room for a connection, by the oldest that has not asked yet, or turn it away."""
        if len(self._open) >= self.bounds.connections:
            if not self._waiting:
                transport.abort()
                return
            oldest = next(iter(self._waiting))
            self._waiting.pop(oldest).abort()
            self._open.pop(oldest, None)
        self._open[connection] = self._waiting[connection] = transport

    def release(self, connection: web.RequestHandler) -> None:
        """Forget a connection that is closed."""
        self._waiting.pop(connection, None)
        self._open.pop(connection, None)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self._waiting.pop(request.protocol, None)
        handler = self._handlers.get(request.path)
        if handler is None:
            response = web.Response(status=404, text=f"there are {', '.join(self._handlers)}\n")
        elif request.method not in ("GET", "HEAD"):
            response = web.Response(status=405, text="only GET\n", headers={"Allow": "GET, HEAD"})
        else:
            response = await handler()
        response.force_close()
        return response


class _Connection(web.RequestHandler):
    """A connection that ends when its time is up, and before its request becomes large."""

    __slots__ = ("_bounded", "_deadline", "_received")

    def __init__(self, server: BoundedServer, **kwargs: object) -> None:
        super().__init__(server, **kwargs)  # type: ignore[arg-type]  # as aiohttp's own server hands them on
        self._bounded = server
        self._received = 0
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to count."""
        super().connection_made(transport)
        transport = cast(asyncio.Transport, transport)  # as of every socket
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(self._bounded.bounds.seconds, transport.abort)
        self._bounded.admit(self, transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Let go of everything."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._bounded.release(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take part of a request, unless there was too much of it already."""
        self._received += len(data)
        if self._received <= self._bounded.bounds.bytes:
            super().data_received(data)
        elif isinstance(self.transport, asyncio.Transport):
            self.transport.abort()
