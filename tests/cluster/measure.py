"""How long clusters take to come up and down here, and the memory they take: one row for each network."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from typing import get_args

from tests.cluster import network
from tests.cluster.cluster import Cluster
from tests.cluster.control_plane import ControlPlane
from tests.cluster.machine import Machine

# Pages that processes share are divided among them, so that the sum is what the cluster takes.
MEMORY = "cat /proc/[0-9]*/smaps_rollup 2>/dev/null | awk '/^Pss:/ {sum += $2} END {print sum}'"


def measure(times: int) -> Iterator[str]:
    """Bring every kind of cluster up and down, and give the medians as the rows of a table."""
    yield "| | up | down | memory |"
    yield "|---|---|---|---|"
    yield _row("control plane alone", [_control_plane() for _ in range(times)])
    for name in get_args(network.Name):
        yield _row(name, [_cluster(name) for _ in range(times)])


def _row(name: str, samples: list[tuple[float, float, float]]) -> str:
    up, down, memory = map(statistics.median, zip(*samples, strict=True))
    return f"| {name} | {up:.1f} s | {down:.1f} s | {memory:.0f} MB |"


def _control_plane() -> tuple[float, float, float]:
    start = time.monotonic()
    with ControlPlane.up() as plane:
        up = time.monotonic() - start
        memory = _memory(plane.machine)
        end = time.monotonic()
    return up, time.monotonic() - end, memory


def _cluster(name: network.Name) -> tuple[float, float, float]:
    start = time.monotonic()
    with Cluster.up(network=name) as cluster:
        up = time.monotonic() - start
        machines = (cluster.plane.machine, *(node.machine for node in cluster.nodes.values()))
        memory = sum(map(_memory, machines))
        end = time.monotonic()
    return up, time.monotonic() - end, memory


def _memory(machine: Machine) -> float:
    return int(machine.run("sh", "-c", MEMORY).stdout) / 1000
