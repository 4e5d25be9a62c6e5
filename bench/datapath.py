"""What a new flow costs: the packet path with 1 000 policies, against connection tracking alone.

Three namespaces, client - node - server, and frames sent in batches through AF_PACKET, so that the kernel's
own work dominates. Every packet opens a flow. Rounds with the one ruleset and the other take turns, and what
counts is the ratio within each pair.
"""

from __future__ import annotations

import ctypes
import os
import socket
import statistics
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bench.scenarios import as_list
from policyd.cluster.state import ClusterState
from policyd.kube.manifests import load_manifest
from policyd.pipeline import build
from policyd_compiler.lower.sharing import MOST_SHARED
from policyd_compiler.nft.printer import print_replace
from policyd_compiler.options import Options

CLIENT, SERVER = "10.77.1.2", "10.77.2.2"
FLOWS = 30_000
ROUNDS = 21
ALONE = """\
table inet policyd {
\tchain forward {
\t\ttype filter hook forward priority -10; policy accept;
\t\tct state established accept
\t}
}
"""


def measure(world: ClusterState) -> tuple[list[float], list[float]]:
    """Nanoseconds a new flow, in pairs: with connection tracking alone, and with the policies."""
    script = print_replace(build(world, "node", Options()).table)
    alone, judged = [], []
    with _namespaces() as (client, node, server):
        frames = _frames(_mac(node, "v1"), _mac(client, "eth0"))
        with _sender(client, frames) as send:
            for _ in range(ROUNDS):
                alone.append(_round(node, server, ALONE, send))
                judged.append(_round(node, server, script, send))
    return alone[1:], judged[1:]  # the first round warms up


def ratio(alone: list[float], judged: list[float]) -> float:
    """The median of the ratios, pair by pair."""
    return statistics.median(j / a for a, j in zip(alone, judged, strict=True))


def _round(node: str, server: str, script: str, send: Any) -> float:
    _run("ip", "netns", "exec", node, "nft", "-f", "-", text=f"flush ruleset\n{script}")
    _run("ip", "netns", "exec", node, "conntrack", "-F")
    before = _received(server)
    began = time.perf_counter()
    send()
    took = time.perf_counter() - began
    arrived = _received(server) - before
    assert arrived >= FLOWS, f"only {arrived} of {FLOWS} packets arrived"
    return took / FLOWS * 1e9


def clients_of_their_own(policies: int = 1000) -> ClusterState:
    """A server that every policy selects; each lets one client in, on a port of its own."""
    clients = [_pod(f"c{i}", _address(i), "elsewhere") for i in range(policies)]
    clients.append(_pod("client", CLIENT, "elsewhere"))
    names = ["client" if i == policies // 2 else f"c{i}" for i in range(policies)]
    return _state([*clients, *(_policy(i, {"name": name}) for i, name in enumerate(names))])


def teams(policies: int = 1000) -> ClusterState:
    """A server that every policy selects; each lets a team in, and the client's is asked for last.

    Teams have hundreds of pods, so a chain has as many sets in common with others as it may.
    """
    count = MOST_SHARED
    clients = [
        _pod(f"c{i}-{team}", _address(i * count + team), "elsewhere", {"team": f"t{team}"})
        for team in range(count)
        for i in range(100 * (team + 1))
    ]
    clients.append(_pod("client", CLIENT, "elsewhere", {"team": f"t{count - 1}"}))
    return _state([*clients, *(_policy(i, {"team": f"t{i % count}"}) for i in range(policies))])


def _state(objects: list[dict[str, Any]]) -> ClusterState:
    everything = [_pod("server", SERVER, "node"), *objects]
    loaded, diagnostics = load_manifest(as_list(everything), "bench.json")
    assert not diagnostics, diagnostics[:3]
    return ClusterState.of(loaded)


def _policy(number: int, peer: dict[str, str]) -> dict[str, Any]:
    rule = {
        "from": [{"podSelector": {"matchLabels": peer}}],
        "ports": [{"protocol": "UDP", "port": 9}, {"port": 1000 + number}],
    }
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"namespace": "bench", "name": f"p{number}"},
        "spec": {"podSelector": {"matchLabels": {"name": "server"}}, "ingress": [rule]},
    }


def _address(number: int) -> str:
    return f"10.78.{number >> 8}.{number & 255}"


def _pod(name: str, address: str, node: str, labels: dict[str, str] | None = None) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": "bench", "name": name, "labels": {"name": name, **(labels or {})}},
        "spec": {"nodeName": node, "containers": [{"name": "c"}]},
        "status": {"phase": "Running", "podIPs": [{"ip": address}]},
    }


# --- namespaces and frames -----------------------------------------------------------------------------


@contextmanager
def _namespaces() -> Iterator[tuple[str, str, str]]:
    names = client, node, server = tuple(f"bench-{os.getpid()}-{part}" for part in ("c", "n", "s"))
    try:
        for name in names:
            _run("ip", "netns", "add", name)
        for number, name in ((1, client), (2, server)):
            _run(
                "ip",
                "link",
                "add",
                f"v{number}",
                "netns",
                node,
                "type",
                "veth",
                "peer",
                "eth0",
                "netns",
                name,
            )
            _run("ip", "-n", node, "addr", "add", f"10.77.{number}.1/24", "dev", f"v{number}")
            _run("ip", "-n", name, "addr", "add", f"10.77.{number}.2/24", "dev", "eth0")
            _run("ip", "-n", node, "link", "set", f"v{number}", "up")
            _run("ip", "-n", name, "link", "set", "eth0", "up")
        _run("ip", "netns", "exec", node, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        counter = "table ip c { counter n { }; chain i { type filter hook prerouting priority -500; "
        counter += "udp dport 9 counter name n drop; }; }"
        _run("ip", "netns", "exec", server, "nft", "-f", "-", text=counter.replace("; ", "\n"))
        for name, mac in ((client, _mac(node, "v1")), (server, _mac(node, "v2"))):
            number = 1 if name == client else 2
            neighbour = ("neigh", "add", f"10.77.{number}.1", "lladdr", mac.hex(":"), "dev", "eth0")
            _run("ip", "-n", name, *neighbour)
            mine = ("neigh", "add", f"10.77.{number}.2", "lladdr", _mac(name, "eth0").hex(":"))
            _run("ip", "-n", node, *mine, "dev", f"v{number}")
        yield client, node, server
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def _received(server: str) -> int:
    listing = _run("ip", "netns", "exec", server, "nft", "list", "counters")
    return int(listing.split("packets")[1].split()[0])


def _mac(namespace: str, device: str) -> bytes:
    text = _run("ip", "-n", namespace, "-br", "link", "show", device).split()[2]
    return bytes.fromhex(text.replace(":", ""))


def _frames(to: bytes, sender: bytes) -> list[bytes]:
    """One UDP packet for each flow; they differ in the source port."""
    payload = b"policyd-bench"
    source, destination = socket.inet_aton(CLIENT), socket.inet_aton(SERVER)
    header = struct.pack("!BBHHHBBH", 0x45, 0, 28 + len(payload), 0, 0, 64, 17, 0) + source + destination
    total = sum(struct.unpack("!10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    header = header[:10] + struct.pack("!H", ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF) + header[12:]
    ethernet = to + sender + b"\x08\x00"
    return [
        ethernet + header + struct.pack("!HHHH", 1024 + flow, 9, 8 + len(payload), 0) + payload
        for flow in range(FLOWS)
    ]


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Message(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.POINTER(_Vector)),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
        ("sent", ctypes.c_uint32),
    )


@contextmanager
def _sender(client: str, frames: list[bytes]) -> Iterator[Any]:
    """A function that sends all frames from the client's eth0, as fast as the kernel takes them."""
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{client}", os.O_RDONLY)
    try:
        assert libc.setns(there, 0) == 0
        out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        out.bind(("eth0", 0))
        out.setsockopt(263, 20, 1)  # PACKET_QDISC_BYPASS
        assert libc.setns(home, 0) == 0
    finally:
        os.close(home)
        os.close(there)
    buffers = [ctypes.create_string_buffer(frame, len(frame)) for frame in frames]
    vectors = [_Vector(ctypes.addressof(b), len(f)) for b, f in zip(buffers, frames, strict=True)]
    messages = (_Message * len(frames))()
    for message, vector in zip(messages, vectors, strict=True):
        message.vectors, message.vector_count = ctypes.pointer(vector), 1

    def send() -> None:
        done = 0
        while done < len(frames):
            size = ctypes.sizeof(_Message)
            sent = libc.sendmmsg(
                out.fileno(), ctypes.byref(messages, done * size), min(1024, len(frames) - done), 0
            )
            assert sent > 0, os.strerror(ctypes.get_errno())
            done += sent

    with out:
        yield send


def _run(*command: str, text: str = "") -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, input=text).stdout


if __name__ == "__main__":
    for world in (clients_of_their_own(), teams()):
        alone, judged = measure(world)
        print(f"alone {statistics.median(alone):.0f} ns, judged {statistics.median(judged):.0f} ns")
        ratios = sorted(j / a for a, j in zip(alone, judged, strict=True))
        print(f"ratio {ratio(alone, judged):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})")
