"""A kubelet's Pods API for tests: pods of manifests, as protobuf, at a socket of a directory.

What it says is what Kubernetes 1.37 says: `tests/cluster/policyd/test_kubelet_pods.py` asks a real one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

from grpclib import GRPCError, Status
from grpclib.const import Cardinality, Handler
from grpclib.server import Server, Stream

from policyd.kubelet.client import _Bytes
from policyd.kubelet.message import WATCH

Manifest: TypeAlias = Mapping[str, Any]
ADDED, MODIFIED, DELETED, COMPLETE = 1, 2, 3, 4


def varint(value: int) -> bytes:
    """A number, seven bits to a byte."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def field(number: int, value: int | str | bytes) -> bytes:
    """One field, with its number."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    body = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(body)) + body


def _time(text: str) -> bytes:
    return field(1, int(datetime.fromisoformat(text).timestamp())) + field(2, 0)


def _container(container: Manifest) -> bytes:
    ports = b"".join(
        field(
            6,
            field(1, port.get("name", ""))
            + field(2, 0)
            + field(3, port["containerPort"])
            + field(4, port.get("protocol", "TCP"))
            + field(5, ""),
        )
        for port in container.get("ports") or ()
    )
    policy = field(24, container["restartPolicy"]) if "restartPolicy" in container else b""
    return field(1, container["name"]) + field(2, "image") + ports + field(14, "Always") + policy


def pod_bytes(pod: Manifest) -> bytes:
    """A pod as `v1.Pod#Marshal` writes it: texts also where they are empty, and things that nobody reads."""
    meta, spec, status = pod["metadata"], pod.get("spec", {}), pod.get("status", {})
    labels = (field(11, field(1, key) + field(2, value)) for key, value in (meta.get("labels") or {}).items())
    metadata = (
        field(1, meta["name"])
        + field(2, "")
        + field(3, meta.get("namespace", "default"))
        + field(5, meta.get("uid", ""))
        + field(6, meta.get("resourceVersion", ""))
        + b"".join(
            field(number, _time(meta[name]))
            for number, name in ((8, "creationTimestamp"), (9, "deletionTimestamp"))
            if name in meta
        )
        + b"".join(labels)
        + field(12, field(1, "kubernetes.io/config.source") + field(2, "api"))
    )
    specified = (
        b"".join(field(2, _container(each)) for each in spec.get("containers") or ())
        + field(4, 30)
        + field(10, spec.get("nodeName", ""))
        + field(11, int(spec.get("hostNetwork", False)))
        + b"".join(field(20, _container(each)) for each in spec.get("initContainers") or ())
    )
    told = (
        field(1, status.get("phase", "Pending"))
        + field(6, status.get("podIP", ""))
        + (field(7, _time(status["startTime"])) if "startTime" in status else b"")
        + b"".join(field(12, field(1, each["ip"])) for each in status.get("podIPs") or ())
    )
    return field(1, metadata) + field(2, specified) + field(3, told)


class Kubelet:
    """One that serves its pods at `socket`. Set `refusal` to be refused, and `pods` to what it has."""

    def __init__(self, socket: Path, pods: Iterable[Manifest] = ()) -> None:
        self.socket = socket
        self.pods = list(pods)
        self.refusal: GRPCError | None = None
        self.is_silent = False  # it takes the question, and says nothing
        self.asked = 0
        self._streams: list[asyncio.Queue[bytes | None]] = []

    def say(self, kind: int, pod: Manifest) -> None:
        """Tell all who watch."""
        self.say_bytes(field(1, kind) + field(2, pod_bytes(pod)))

    def say_bytes(self, event: bytes) -> None:
        """The same, of any bytes."""
        for queue in self._streams:
            queue.put_nowait(event)

    def end(self) -> None:
        """End all streams, as a kubelet does that stops, or that somebody is too slow for."""
        for queue in self._streams:
            queue.put_nowait(None)

    async def _watch(self, stream: Stream[bytes, bytes]) -> None:
        await stream.recv_message()
        self.asked += 1
        if self.refusal is not None:
            raise self.refusal
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._streams.append(queue)
        try:
            if not self.is_silent:
                for pod in self.pods:
                    await stream.send_message(field(1, ADDED) + field(2, pod_bytes(pod)))
                await stream.send_message(field(1, COMPLETE))
            while (event := await queue.get()) is not None:
                await stream.send_message(event)
            raise GRPCError(Status.RESOURCE_EXHAUSTED, "watch client channel closed")
        finally:
            self._streams.remove(queue)

    def __mapping__(self) -> dict[str, Handler]:
        return {WATCH: Handler(self._watch, Cardinality.UNARY_STREAM, bytes, bytes)}

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Kubelet]:
        """Serve while this lasts; the socket is gone afterwards, and every stream has ended."""
        server = Server([self], codec=_Bytes())
        await server.start(path=str(self.socket))
        try:
            yield self
        finally:
            while self._streams:
                self.end()
                await asyncio.sleep(0.001)
            server.close()
            await server.wait_closed()
            self.socket.unlink(missing_ok=True)
