"""An API server in memory that speaks as the recordings do, and fails on demand as no real one would.

Lists (paged, gzip), watches (from a version, streamed lists, bookmarks), metadata-only objects and refusals.
`test_emulator.py` holds it to the recordings; the reflector's tests run against a real server, too.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from aiohttp import web

from tests.support.waiting import DEADLINE
from tests.watcher import replies
from tests.watcher.history import Happened, History, Raw, to_json
from tests.watcher.replies import COMMON, JSON, event

PODS = "/api/v1/pods"
NAMESPACES = "/api/v1/namespaces"
NODES = "/api/v1/nodes"
POLICIES = "/apis/networking.k8s.io/v1/networkpolicies"
KINDS = {PODS: "Pod", NAMESPACES: "Namespace", NODES: "Node", POLICIES: "NetworkPolicy"}
GZIP_FROM = 128 * 1024
NEVER = 1_000_000_000

How: TypeAlias = Literal["reset", "drop", "half-line", "end", "hang"]


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that came in."""

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Hang:
    """Accept the request, and never answer."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Answer, but end so after so many chunks of a watch, each of which is a line of a list or a change."""

    after: int
    how: How


Fault: TypeAlias = web.Response | Hang | Cut


def version_of(path: str) -> str:
    """The apiVersion of what a path lists."""
    return path.removeprefix("/apis/").removeprefix("/api/").rpartition("/")[0]


@dataclass(eq=False, slots=True)
class _Stream:
    """A watch that is open. Of what is older than `after`, the server says nothing, whatever it may be."""

    path: str
    kind: str
    metadata: bool
    after: int = 0
    queue: asyncio.Queue[bytes | Cut] = field(default_factory=asyncio.Queue)

    def show(self, text: bytes) -> bytes:
        """An object in a line of a watch."""
        if self.metadata:
            return replies.as_metadata(text)
        kind = to_json({"kind": self.kind, "apiVersion": version_of(self.path)})
        return kind[:-1] + b"," + text[1:]

    def show_list(self, metadata: Raw, texts: Sequence[bytes]) -> bytes:
        kind = "PartialObjectMetadata" if self.metadata else self.kind
        version = "meta.k8s.io/v1" if self.metadata else version_of(self.path)
        items = map(replies.as_metadata, texts) if self.metadata else texts
        head = to_json({"kind": f"{kind}List", "apiVersion": version, "metadata": metadata})
        return head[:-1] + b',"items":[' + b",".join(items) + b"]}"


@dataclass(slots=True)
class Emulator:
    """Run it with `serve`. `faults` meet the next requests, one each, in order; None lets one through.

    `streaming` False: a server that cannot stream lists. `tokens` None: everybody is let in. `opened` counts
    watches by path; one that its client has left may still be there for a moment. `kinds` may be served, by
    path; of these, the paths in `missing` are not, until they are taken out.
    """

    history: History = field(default_factory=History)
    kinds: dict[str, str] = field(default_factory=lambda: dict(KINDS))
    streaming: bool = True
    tokens: frozenset[str] | None = None
    forbidden: set[str] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)
    faults: list[Fault | None] = field(default_factory=list)
    requests: list[Seen] = field(default_factory=list)
    opened: Counter[str] = field(default_factory=Counter)
    url: str = ""
    _streams: list[_Stream] = field(default_factory=list)
    _pages: dict[tuple[str, int], list[tuple[str, bytes]]] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def serve(self, ssl_context: object = None) -> AsyncIterator[Emulator]:
        """Listen on loopback until the end of the block."""
        application = web.Application()
        application.router.add_get("/{path:.*}", self._answer)
        runner = web.AppRunner(application, shutdown_timeout=0.01, handler_cancellation=True)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=ssl_context)  # type: ignore[arg-type]
            await site.start()
            port = runner.addresses[0][1]
            self.url = f"{'http' if ssl_context is None else 'https'}://127.0.0.1:{port}"
            yield self
        finally:
            await runner.cleanup()

    # What happens in the cluster

    def put(self, path: str, *raws: Mapping[str, object]) -> None:
        """Create or change objects; what watches hear of it comes in one chunk."""
        self._tell(path, [self.history.put(path, raw) for raw in raws])

    def delete(self, path: str, *keys: str) -> None:
        """Delete objects, likewise."""
        self._tell(path, [self.history.delete(path, key) for key in keys])

    def bookmark(self, path: str) -> None:
        """Say on open watches how far the history is."""
        for stream in self._of(path):
            if self.history.version >= stream.after:
                stream.queue.put_nowait(self._bookmark(stream, {}))

    # What goes wrong

    def inject(self, path: str, text: bytes) -> None:
        """Write something on open watches."""
        for stream in self._of(path):
            stream.queue.put_nowait(text)

    def cut(self, path: str, how: How) -> None:
        """End open watches."""
        for stream in self._of(path):
            stream.queue.put_nowait(Cut(0, how))

    def restore(self, backup: History) -> None:
        """Go back to a backup of etcd; for that, the server restarts."""
        self.history.restore(backup)
        self._pages.clear()
        for path in self.kinds:
            self.cut(path, "drop")

    def expire_pages(self) -> None:
        """Forget the versions that `continue` tokens name."""
        self._pages.clear()

    # What is seen from outside

    def watches(self, path: str) -> int:
        """How many are open."""
        return len(self._of(path))

    def asked(self, path: str) -> list[Seen]:
        """The requests for a path, in order."""
        return [seen for seen in self.requests if seen.path == path]

    async def until(self, predicate: Callable[[], bool]) -> None:
        """Wait until requests or open watches are as they should be."""
        async with asyncio.timeout(DEADLINE):
            while not predicate():
                self._changed.clear()
                await self._changed.wait()

    def _of(self, path: str) -> list[_Stream]:
        return [stream for stream in self._streams if stream.path == path]

    def _tell(self, path: str, changes: Sequence[Happened]) -> None:
        for stream in self._of(path):
            new = [item for item in changes if item.version > stream.after]
            stream.queue.put_nowait(b"".join(event(item.change, stream.show(item.text)) for item in new))

    def _bookmark(self, stream: _Stream, annotations: Mapping[str, str]) -> bytes:
        metadata: Raw = {"resourceVersion": str(self.history.version)}
        if annotations:
            metadata["annotations"] = annotations
        body: Raw = {"metadata": metadata}
        if stream.path == PODS:
            body |= {"spec": {"containers": None}, "status": {}}
        return event("BOOKMARK", stream.show(to_json(body)))

    # HTTP

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(Seen(request.path, dict(request.query), dict(request.headers)))
        self._changed.set()
        fault = self.faults.pop(0) if self.faults else None
        match fault:
            case web.Response():
                return fault
            case Hang():
                await asyncio.Event().wait()
            case _:
                pass
        refusal = self._refuse(request)
        served = {path: kind for path, kind in self.kinds.items() if path not in self.missing}
        if refusal is None or refusal.status == 404:
            refusal = replies.discovery(request.path, served) or refusal
        if refusal is not None:
            return refusal
        if request.query.get("watch") in ("1", "true"):
            return await self._watch(request, fault if isinstance(fault, Cut) else Cut(NEVER, "end"))
        return await self._list(request)

    def _refuse(self, request: web.Request) -> web.Response | None:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        plural = request.path.rpartition("/")[2]
        watch = "watch" in request.query
        if self.tokens is not None and token not in self.tokens:
            return replies.unauthorized()
        if request.path in self.forbidden:
            return replies.forbidden(plural, "watch" if watch else "list")
        if request.path not in self.kinds or request.path in self.missing:
            return replies.missing()
        if "sendInitialEvents" in request.query and not self.streaming:
            text = "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"
            return replies.invalid("sendInitialEvents", text)
        if "sendInitialEvents" in request.query and "resourceVersionMatch" not in request.query:
            text = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            return replies.invalid("resourceVersionMatch", text)
        if not watch and int(request.query.get("resourceVersion") or 0) > self.history.version:
            return replies.too_large(request.query["resourceVersion"], self.history.version)
        return None

    async def _list(self, request: web.Request) -> web.StreamResponse:
        version, start = self.history.version, ""
        if token := request.query.get("continue"):
            try:
                version, start = replies.read_token(token)
            except ValueError as error:
                return replies.bad_token(str(error))
            if (request.path, version) not in self._pages:
                return replies.expired_page(start)
        items = self._pages.setdefault((request.path, version), list(self.history.listed(request.path)))
        rest = [item for item in items if item[0] > start]
        page = rest[: int(request.query.get("limit") or len(rest))]
        metadata: Raw = {"resourceVersion": str(version)}
        if len(page) < len(rest):
            metadata["continue"] = replies.page_token(version, page[-1][0])
            metadata["remainingItemCount"] = len(rest) - len(page)
        stream = _Stream(request.path, self.kinds[request.path], _wants_metadata(request))
        body = stream.show_list(metadata, [text for _, text in page])
        response = web.Response(body=body, headers={**COMMON, **JSON})
        if len(body) > GZIP_FROM and "gzip" in request.headers.get("Accept-Encoding", ""):
            response.enable_compression(web.ContentCoding.gzip)
        return response

    async def _watch(self, request: web.Request, cut: Cut) -> web.StreamResponse:
        stream = _Stream(request.path, self.kinds[request.path], _wants_metadata(request))
        for line in self._begin(request, stream):
            stream.queue.put_nowait(line)
        response = web.StreamResponse(headers={**COMMON, **JSON})
        response.enable_chunked_encoding()
        await response.prepare(request)
        self._streams.append(stream)
        self.opened[request.path] += 1
        self._changed.set()
        try:
            async with asyncio.timeout(float(request.query.get("timeoutSeconds") or 1800)):
                for _ in range(cut.after):
                    item = await stream.queue.get()
                    if isinstance(item, Cut):
                        cut = item
                        break
                    if item:
                        await response.write(item)
            await _end(request, response, cut.how)
        except TimeoutError:
            await response.write(self._bookmark(stream, {}))
        except ConnectionError:
            pass  # the client is gone
        finally:
            self._streams.remove(stream)
            self._changed.set()
        return response

    def _begin(self, request: web.Request, stream: _Stream) -> Iterator[bytes]:
        """What a watch says first: the list, or what happened since, or that nobody knows that any more."""
        if "sendInitialEvents" in request.query:
            for _, text in self.history.listed(request.path):
                yield event("ADDED", stream.show(text))
            yield self._bookmark(stream, {"k8s.io/initial-events-end": "true"})
            return
        version = stream.after = int(request.query["resourceVersion"])
        if version < self.history.compacted:
            yield replies.gone(version, self.history.compacted)
            stream.queue.put_nowait(Cut(0, "end"))
        for item in self.history.since(request.path, version):
            yield event(item.change, stream.show(item.text))


def _wants_metadata(request: web.Request) -> bool:
    return "as=PartialObjectMetadata" in request.headers.get("Accept", "")


async def _end(request: web.Request, response: web.StreamResponse, how: How) -> None:
    """End a response, well or not."""
    match how:
        case "end":
            return
        case "half-line":
            await response.write(b'{"type":"ADDED","object":{"kind":"Pod","api')
        case "reset" | "drop":
            transport = request.transport
            assert transport is not None
            if how == "reset":
                linger = struct.pack("ii", 1, 0)  # makes close() send RST
                transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            transport.abort()
        case "hang":
            await asyncio.Event().wait()
