"""What a packet costs: the packet path with 1 000 policies, against connection tracking alone.

Three namespaces, client - node - server, and frames sent in batches through AF_PACKET, so that the kernel's
own work dominates. Every packet opens a flow, or all belong to a few that both ends know. Rounds with the one
ruleset and the other take turns, and what counts is the ratio within each pair.
"""

from __future__ import annotations

import ctypes
import os
import socket
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any, Literal, TypeAlias

from bench import layouts
from bench.scenarios import as_list
from policyd.cluster.state import ClusterState
from policyd.manifests.load import load_manifest
from policyd.pipeline import build
from policyd_compiler.budget import UNBOUNDED
from policyd_compiler.layout import MOST_SHARED
from policyd_compiler.nft.printer import print_replace
from policyd_compiler.options import Options
from tests.lab.packets import UDP, ip_packet, udp_datagram

CLIENT, SERVER = ("10.77.1.2", "fd00:77:1::2"), ("10.77.2.2", "fd00:77:2::2")
FLOWS = 30_000
#: So many flows that are established share as many packets.
KNOWN = 64
ROUNDS = 21
#: The TCP port of the first policy; each has one of its own.
_FIRST_PORT = 1000
ALONE = """\
table inet policyd {
\tchain forward {
\t\ttype filter hook forward priority -10; policy accept;
\t\tct state established accept
\t}
}
"""


Family: TypeAlias = Literal[4, 6]
Measured: TypeAlias = tuple[list[float], list[float]]


def measure(world: ClusterState, family: Family = 4, *, rounds: int = ROUNDS) -> Measured:
    """Nanoseconds a new flow, in pairs: with connection tracking alone, and with the policies."""
    return measure_script(script_of(world), family, rounds=rounds)


def measure_script(script: str, family: Family = 4, *, rounds: int = ROUNDS) -> Measured:
    """Measure likewise with any ruleset that lets the client's packets through."""
    alone, judged = [], []
    with namespaces() as (client, node, server):
        frames = _frames(client, node, family, FLOWS)
        with _sender(client, frames) as send:
            for _ in range(rounds):
                alone.append(_round(node, server, ALONE, send))
                judged.append(_round(node, server, script, send))
    return alone[1:], judged[1:]  # the first round warms up


def measure_established(world: ClusterState, family: Family = 4, *, rounds: int = ROUNDS) -> Measured:
    """Nanoseconds a packet of connections that were allowed before, in pairs likewise."""
    script = script_of(world)
    alone, judged = [], []
    with namespaces() as (client, node, server):
        ask, answer = _frames(client, node, family, KNOWN), _frames(server, node, family, KNOWN)
        with (
            _sender(client, ask) as open_flows,
            _sender(server, answer) as reply,
            _sender(client, ask * (FLOWS // KNOWN + 1)) as send,
        ):

            def establish() -> None:
                open_flows()
                reply()
                known = _run("ip", "netns", "exec", node, "conntrack", "-L", "-f", f"ipv{family}")
                assert known.count("[UNREPLIED]") == 0, "a flow was not answered"
                assert known.count("udp ") == KNOWN, f"{known.count('udp ')} of {KNOWN} flows are known"

            for _ in range(rounds):
                alone.append(_round(node, server, ALONE, send, establish))
                judged.append(_round(node, server, script, send, establish))
    return alone[1:], judged[1:]


def _nothing() -> None:
    """Prepare nothing."""


def script_of(world: ClusterState) -> str:
    """Compile it without budgets: the question is what thousands of policies cost a packet."""
    built = build(
        world, "node", Options(policy_budget=UNBOUNDED.policy, namespace_budget=UNBOUNDED.namespace)
    )
    assert not built.over, "policies are in quarantine"
    return print_replace(built.table)


def ratio(alone: list[float], judged: list[float]) -> float:
    """The median of the ratios, pair by pair."""
    return statistics.median(j / a for a, j in zip(alone, judged, strict=True))


def _round(node: str, server: str, script: str, send: Any, before_it: Callable[[], None] = _nothing) -> float:
    load_rules(node, script)
    before_it()
    before = _received(server)
    began = time.perf_counter()
    send()
    took = time.perf_counter() - began
    arrived = _received(server) - before
    assert arrived >= FLOWS, f"only {arrived} of {FLOWS} packets arrived"
    return took / FLOWS * 1e9


def load_rules(node: str, script: str) -> None:
    """Judge packets by a ruleset from now on; no connection is known."""
    _run("ip", "netns", "exec", node, "nft", "-f", "-", text=f"flush ruleset\n{script}")
    _run("ip", "netns", "exec", node, "conntrack", "-F")


def clients_of_their_own(policies: int = 1000) -> ClusterState:
    """A server that every policy selects; each lets one client in, on a port of its own."""
    clients = [_pod(f"c{i}", _addresses(i), "elsewhere") for i in range(policies)]
    clients.append(_pod("client", CLIENT, "elsewhere"))
    names = ["client" if i == policies // 2 else f"c{i}" for i in range(policies)]
    return _state([*clients, *(_policy(i, {"name": name}) for i, name in enumerate(names))])


def port_of_client(policies: int = 1000) -> int:
    """The TCP port of the server that is open to the client in such a world."""
    return _FIRST_PORT + policies // 2


def teams(policies: int = 1000) -> ClusterState:
    """A server that every policy selects; each lets a team in, and the client's is asked for last.

    Teams have hundreds of pods, so a chain has as many sets in common with others as it may.
    """
    count = MOST_SHARED
    clients = [
        _pod(f"c{i}-{team}", _addresses(i * count + team), "elsewhere", {"team": f"t{team}"})
        for team in range(count)
        for i in range(100 * (team + 1))
    ]
    clients.append(_pod("client", CLIENT, "elsewhere", {"team": f"t{count - 1}"}))
    return _state([*clients, *(_policy(i, {"team": f"t{i % count}"}) for i in range(policies))])


def walked(policies: int, family: Family) -> str:
    """Print the world of `clients_of_their_own` in the shape of others."""
    peers = [_addresses(i)[family == 6] for i in range(policies)]
    peers[policies // 2] = CLIENT[family == 6]
    return layouts.walked(family, peers, SERVER[family == 6])


def jumps(pods: int, family: Family) -> str:
    """Print a node of so many pods in the shape of others; the server is in the middle."""
    place = family == 6
    others = [_addresses(i)[place] for i in range(pods)]
    others[pods // 2] = SERVER[place]
    return layouts.jumps(family, CLIENT[place], others)


def neighbours(pods: int) -> ClusterState:
    """A server that ten policies select, on a node of so many pods, each of which one policy selects."""
    others = [_pod(f"n{i}", _addresses(i), "node") for i in range(pods - 1)]
    client = _pod("client", CLIENT, "elsewhere")
    theirs = [_policy(10 + i, {"name": "client"}, f"n{i}") for i in range(pods - 1)]
    ours = [_policy(i, {"name": f"n{i}" if i else "client"}) for i in range(10)]
    return _state([*others, client, *theirs, *ours])


def _state(objects: list[dict[str, Any]]) -> ClusterState:
    everything = [_pod("server", SERVER, "node"), *objects]
    loaded, diagnostics = load_manifest(as_list(everything), "bench.json")
    assert not diagnostics, diagnostics[:3]
    return ClusterState.of(loaded)


def _policy(number: int, peer: dict[str, str], selects: str = "server") -> dict[str, Any]:
    rule = {
        "from": [{"podSelector": {"matchLabels": peer}}],
        "ports": [{"protocol": "UDP", "port": 9}, {"port": _FIRST_PORT + number}],
    }
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"namespace": "bench", "name": f"p{number}"},
        "spec": {"podSelector": {"matchLabels": {"name": selects}}, "ingress": [rule]},
    }


def _addresses(number: int) -> tuple[str, str]:
    return f"10.78.{number >> 8}.{number & 255}", f"fd00:78::{number + 1:x}"


def _pod(
    name: str, addresses: tuple[str, str], node: str, labels: dict[str, str] | None = None
) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": "bench", "name": name, "labels": {"name": name, **(labels or {})}},
        "spec": {"nodeName": node, "containers": [{"name": "c"}]},
        "status": {"phase": "Running", "podIPs": [{"ip": address} for address in addresses]},
    }


# --- namespaces and frames -----------------------------------------------------------------------------


@contextmanager
def namespaces() -> Iterator[tuple[str, str, str]]:
    names = client, node, server = tuple(f"bench-{os.getpid()}-{part}" for part in ("c", "n", "s"))
    try:
        for name in names:
            _run("ip", "netns", "add", name)
        for number, name in ((1, client), (2, server)):
            ends = ("type", "veth", "peer", "eth0", "netns", name)
            _run("ip", "link", "add", f"v{number}", "netns", node, *ends)
            for prefix, length in ((f"10.77.{number}.", 24), (f"fd00:77:{number}::", 64)):
                _run("ip", "-n", node, "addr", "add", f"{prefix}1/{length}", "dev", f"v{number}", "nodad")
                _run("ip", "-n", name, "addr", "add", f"{prefix}2/{length}", "dev", "eth0", "nodad")
            _run("ip", "-n", node, "link", "set", f"v{number}", "up")
            _run("ip", "-n", name, "link", "set", "eth0", "up")
            for prefix in (f"10.77.{number}.", f"fd00:77:{number}::"):
                _run("ip", "-n", name, "route", "add", "default", "via", f"{prefix}1", "dev", "eth0")
        for key in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
            _run("ip", "netns", "exec", node, "sysctl", "-qw", f"{key}=1")
        for name in (client, server):  # what answered would be sent as well
            counter = "table inet c { counter n { }; chain i { type filter hook prerouting priority -500; "
            counter += "meta l4proto udp counter name n drop; }; }"
            _run("ip", "netns", "exec", name, "nft", "-f", "-", text=counter.replace("; ", "\n"))
        for number, name in ((1, client), (2, server)):
            there, here = _mac(node, f"v{number}").hex(":"), _mac(name, "eth0").hex(":")
            for prefix in (f"10.77.{number}.", f"fd00:77:{number}::"):
                _run("ip", "-n", name, "neigh", "add", f"{prefix}1", "lladdr", there, "dev", "eth0")
                _run("ip", "-n", node, "neigh", "add", f"{prefix}2", "lladdr", here, "dev", f"v{number}")
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


def _frames(sender: str, node: str, family: Family, flows: int) -> list[bytes]:
    """One UDP packet for each flow, from the client or back; they differ in the client's port."""
    back = sender.endswith("-s")
    client, server = (ip_address(place[family == 6]).packed for place in (CLIENT, SERVER))
    source, destination = (server, client) if back else (client, server)
    ethernet = _mac(node, "v2" if back else "v1") + _mac(sender, "eth0")
    ethernet += (0x0800 if family == 4 else 0x86DD).to_bytes(2)
    frames = []
    for flow in range(flows):
        ports = (9, 1024 + flow) if back else (1024 + flow, 9)
        body = udp_datagram(source + destination, ports, b"policyd-bench")
        frames.append(ethernet + ip_packet(source, destination, UDP, body))
    return frames


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
        for family in (4, 6):
            for name, way in (("new", measure), ("established", measure_established)):
                alone, judged = way(world, family)
                ratios = sorted(j / a for a, j in zip(alone, judged, strict=True))
                print(
                    f"IPv{family}, {name}: alone {statistics.median(alone):.0f} ns, judged "
                    f"{statistics.median(judged):.0f} ns, ratio {ratio(alone, judged):.3f} "
                    f"({ratios[0]:.3f} to {ratios[-1]:.3f})"
                )
