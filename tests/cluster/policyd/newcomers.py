"""Pods whose first container speaks at once, and servers that write down what they hear of it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.cluster.client import Client, Manifest
from tests.cluster.policyd.pods import Pod

PORT = 9100
#: How long a newcomer speaks, one packet each millisecond to each server.
SPEAKING_MILLISECONDS = 4000

# Sends numbered packets to each server, and opens a connection to each; says after how many milliseconds the
# connections were there.
SPEAK = f"""
import json, select, socket, sys, time
name, *servers = sys.argv[1:]
start = time.monotonic()
opened, connected = {{}}, {{}}
for server in servers:
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    opened[server] = socket.socket(family, socket.SOCK_STREAM), socket.socket(family, socket.SOCK_DGRAM)
    opened[server][0].setblocking(False)
    opened[server][0].connect_ex((server, {PORT}))
while (number := int((time.monotonic() - start) * 1000)) < {SPEAKING_MILLISECONDS}:
    for server, (stream, datagrams) in opened.items():
        try:
            datagrams.sendto(f"{{name}} {{number}}".encode(), (server, {PORT}))
        except OSError:
            pass
        if server not in connected and select.select([], [stream], [], 0)[1]:
            connected[server] = number if stream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0 else None
    time.sleep(0.001)
print(json.dumps(connected))
"""


@dataclass(frozen=True, slots=True)
class Heard:
    """What a server heard of a newcomer: the numbers of its packets, which are milliseconds of its life."""

    packets: tuple[int, ...]


class Listener:
    """Writes down what arrives at a pod's port, by newcomer, and accepts connections."""

    def __init__(self, pod: Pod, address: str) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with pod.network.entered():
            self._datagrams = socket.socket(family, socket.SOCK_DGRAM)
            self._connections = socket.socket(family, socket.SOCK_STREAM)
        self._datagrams.bind((address, PORT))
        self._datagrams.settimeout(0.2)
        self._datagrams.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._connections.bind((address, PORT))
        self._connections.listen(64)  # the kernel answers; nobody has to accept
        self._heard: dict[str, list[int]] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="listener")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()
        self._datagrams.close()
        self._connections.close()

    def heard(self, name: str) -> Heard:
        """Give what was heard of a newcomer so far."""
        return Heard(tuple(self._heard.get(name, ())))

    def _listen(self) -> None:
        while not self._stopped.is_set():
            with suppress(TimeoutError):
                name, number = self._datagrams.recv(256).decode().split()
                self._heard.setdefault(name, []).append(int(number))


def newcomer(
    name: str, namespace: str, *, node: str, image: str, labels: Mapping[str, str], servers: tuple[str, ...]
) -> Manifest:
    """Give the manifest of a pod whose first container speaks to these addresses, and which ends then."""
    command = ["/opt/policyd/bin/python3", "-I", "-c", SPEAK, name, *servers]
    container = {"name": "speaker", "image": image, "command": command}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": dict(labels)},
        "spec": {
            "nodeName": node,
            "initContainers": [container],
            "containers": [{"name": "end", "image": image, "args": ["--version"]}],
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
        },
    }


def connected(client: Client, name: str, namespace: str) -> dict[str, int | None]:
    """Give after how many milliseconds each server was connected; those that never were are not in it."""
    said = client.kubectl("logs", name, "--namespace", namespace, "--container", "speaker").stdout
    found: dict[str, int | None] = json.loads(said)
    return found
