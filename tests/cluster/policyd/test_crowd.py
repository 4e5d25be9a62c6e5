"""10 000 pods and 1 000 policies in a real API server: what they cost an agent, and how soon it acts."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.conformance import define_policies
from tests.cluster.failures import wait_until
from tests.cluster.node import CONTAINERD
from tests.cluster.policyd.crowd import LOCAL_NODE, LOCAL_PODS, LOCAL_POLICIES, PODS, POLICIES, gather
from tests.cluster.policyd.image import image_archive
from tests.cluster.policyd.installation import NAMESPACE, Installation
from tests.cluster.policyd.latency import changes, check, measured_idle, opened_subject, table, tier_changes
from tests.setting import chosen_count

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

SECOND_TABLE, SECOND_PORT = "policyd-second", 9472
SAMPLES = chosen_count("POLICYD_SAMPLES", 10)
READY_SECONDS = 120.0
#: An agent with all of it has some 150 MiB.
MOST_MIB = 400
TICKS = os.sysconf("SC_CLK_TCK")


def container_of(policyd: Installation, node: str) -> str:
    (status,) = policyd.cluster.get("pod", policyd.pods()[node], namespace=NAMESPACE)["status"][
        "containerStatuses"
    ]
    return str(status["containerID"]).rpartition("/")[2]


@contextmanager
def second_agent(policyd: Installation, node: str) -> Iterator[None]:
    """Run an agent next to the node's own, in its container, with another table: it begins from nothing."""
    machine = policyd.cluster.node(node)
    container = container_of(policyd, node)
    tasks = ("ctr", "--address", CONTAINERD, "--namespace", "k8s.io", "tasks")
    options = ("--table", SECOND_TABLE, "--listen", f"127.0.0.1:{SECOND_PORT}")
    command = ("exec", "--exec-id", SECOND_TABLE, container, "policyd", "run", *options)
    agent = machine.component("second-agent", *tasks, *command)
    agent.start()
    try:
        wait_until(
            lambda: ready(policyd, node, SECOND_PORT),
            "the second agent is not ready",
            seconds=READY_SECONDS,
            check=agent.check,
        )
        yield
    finally:
        machine.run(*tasks, "kill", "--exec-id", SECOND_TABLE, "--signal", "SIGKILL", container, check=False)
        agent.forget()


def ready(policyd: Installation, node: str, port: int) -> bool:
    try:
        return policyd.ask(node, "/readyz", port)[0] == 200
    except ConnectionRefusedError:
        return False


@dataclass(frozen=True, slots=True)
class Cost:
    """What the processes of a container take: MiB, now and at most, and seconds of CPU so far."""

    memory: float
    most: float
    cpu: float


def cost(container: str) -> Cost:
    memory = most = cpu = 0.0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if container not in (process / "cgroup").read_text():
                continue
            status = dict(
                line.split(":", 1) for line in (process / "status").read_text().splitlines() if ":" in line
            )
            # After the name, which may hold anything: utime and stime are fields 14 and 15 of the line.
            times = (process / "stat").read_text().rpartition(")")[2].split()[11:13]
        except (FileNotFoundError, ProcessLookupError):
            continue
        memory += int(status["VmRSS"].split()[0]) / 1024
        most += int(status["VmHWM"].split()[0]) / 1024
        cpu += sum(map(int, times)) / TICKS
    return Cost(memory, most, cpu)


def everything_is_in_force(policyd: Installation) -> bool:
    stats = policyd.state(LOCAL_NODE)["enforced"]["stats"]
    return bool(stats["isolated"] == LOCAL_PODS and stats["policies"] == LOCAL_POLICIES)


def crowd(policyd: Installation) -> float:
    """Bring the pods and policies in, and wait until they are in force; give the seconds of the former."""
    start = time.monotonic()
    gather(policyd.cluster)
    written = time.monotonic() - start
    wait_until(
        lambda: everything_is_in_force(policyd),
        f"not everything is in force on {LOCAL_NODE}",
        seconds=READY_SECONDS,
        check=policyd.cluster.check,
    )
    return written


def test_an_agent_in_a_large_cluster(own_cluster: Cluster, tell: Callable[[str], None]) -> None:
    policyd = Installation(own_cluster, image_archive())
    policyd.install()
    container = container_of(policyd, LOCAL_NODE)
    with opened_subject(own_cluster, changes) as subject:
        small = cost(container)
        written = crowd(policyd)
        before = cost(container)
        found = subject.measure(SAMPLES)
        after = cost(container)
        start = time.monotonic()
        with second_agent(policyd, LOCAL_NODE):
            ready_after = time.monotonic() - start
    made = sum(map(len, found.values()))
    tell(
        f"{PODS} pods and {POLICIES} policies, written in {written:.0f} s, load {os.getloadavg()[0]:.0f}\n"
        f"memory of the agent: {small.memory:.0f} MiB before, {after.memory:.0f} with them, "
        f"{after.most:.0f} at most\n"
        f"CPU for a change: {(after.cpu - before.cpu) / made:.2f} s\n"
        f"an agent that begins from nothing is ready after {ready_after:.1f} s\n"
        f"{table(found)}"
    )
    assert 0 < after.memory < MOST_MIB


def test_changes_of_an_administrator_in_a_large_cluster(
    own_cluster: Cluster, tell: Callable[[str], None]
) -> None:
    """Of a ClusterNetworkPolicy for all of its pods, in a cluster that had the kind before policyd came."""
    define_policies(own_cluster, "experimental")
    policyd = Installation(own_cluster, image_archive())
    policyd.install()
    with opened_subject(own_cluster, tier_changes) as subject:
        crowd(policyd)
        with measured_idle() as idle:
            found = subject.measure(SAMPLES)
    tell(
        f"{PODS} pods and {POLICIES} policies, processors idle for {idle():.0%} of the time:\n{table(found)}"
    )
    check(found, idle())
