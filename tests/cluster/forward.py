"""A door into a machine: accept on a socket that was opened outside, connect inside. Run as a program.

A socket belongs to the network namespace in which it was made. So this process, which runs on the machine,
can accept what arrives on the test host's loopback, on a port that the kernel chose.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


async def _forward(listener: socket.socket, address: str, port: int) -> None:
    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner_writer = await asyncio.open_connection(address, port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_copy(reader, inner_writer), _copy(inner_reader, writer))

    server = await asyncio.start_server(accept, sock=listener)
    await server.serve_forever()


if __name__ == "__main__":
    number, inner_address, inner_port = sys.argv[1:]
    asyncio.run(_forward(socket.socket(fileno=int(number)), inner_address, int(inner_port)))
