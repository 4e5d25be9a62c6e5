"""A TCP forwarder between a reflector and its server, which can be shut, and frozen as a dead network is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from policyd.watcher.transport import Access, Kubeconfig


@dataclass(slots=True)
class Valve:
    """Forwards to a port of loopback.

    `shut` breaks connections, and new ones at once; `freeze` lets those that are open hang.
    """

    port: int
    access: Access = field(init=False)
    is_shut: bool = False
    _pipes: set[asyncio.Task[None]] = field(default_factory=set)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    def shut(self) -> None:
        self.is_shut = True
        for writer in self._writers:
            writer.transport.abort()

    def open(self) -> None:
        self.is_shut = False

    def freeze(self) -> None:
        for pipe in self._pipes:
            pipe.cancel()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        if self.is_shut:
            writer.transport.abort()
            return
        there, back = await asyncio.open_connection("127.0.0.1", self.port)
        self._writers.add(back)
        for source, target in ((reader, back), (there, writer)):
            self._pipes.add(asyncio.create_task(_pump(source, target)))

    async def end(self) -> None:
        self.freeze()
        self.shut()
        await asyncio.gather(*self._pipes, return_exceptions=True)
        await asyncio.gather(*(writer.wait_closed() for writer in self._writers), return_exceptions=True)


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
        target.close()
    except ConnectionError:
        target.transport.abort()


def _read(access: Kubeconfig) -> dict[str, Any]:
    config: dict[str, Any] = json.loads(Path(access.files).read_text())
    return config


@asynccontextmanager
async def valve(access: Access, folder: Path) -> AsyncIterator[Valve]:
    """Put a valve before the server of a kubeconfig; its `access` leads through it."""
    assert isinstance(access, Kubeconfig)
    config = _read(access)
    (cluster,) = config["clusters"]
    url = urlsplit(cluster["cluster"]["server"])
    assert url.port is not None
    made = Valve(url.port)
    async with await asyncio.start_server(made.accept, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        cluster["cluster"]["server"] = f"{url.scheme}://127.0.0.1:{port}"
        file = folder / "through-the-valve"
        file.write_text(json.dumps(config))
        made.access = Kubeconfig(str(file))
        try:
            yield made
        finally:
            await made.end()
