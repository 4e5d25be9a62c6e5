"""A node whose pods are judged in their own network namespaces: what that costs, with real namespaces.

`python -m bench.inside [PODS POLICIES LOCAL]` (root): time until all namespaces hold their rules, memory of
the kernel and of this process, and milliseconds from a followed change to the last namespace it concerns.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import time
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import median, quantiles

from bench.following import KINDS
from bench.scenarios import NODE, Scale, cluster
from policyd.agent.pod_rules import PodRules
from policyd.agent.pod_table import Way
from policyd.agent.reporting.status import AgentStatus
from policyd.applier.worker import NftWorker
from policyd.cluster.state import ClusterState
from policyd.config import load_settings
from policyd.graph.graph import Graph
from policyd.kube.decode import decode_live
from policyd.lab.namespace import Namespace
from policyd.netlink.inside import Inside
from policyd.node.attach import KnownPod
from policyd.obs.metrics import Metrics
from policyd.pipeline import build
from policyd_compiler.addr import print_address
from policyd_compiler.options import Options

SCALE = Scale(10_000, 1_000, 250)
EVENTS = 100


async def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("numbers", nargs="*", type=int, metavar="PODS POLICIES LOCAL")
    numbers = parser.parse_args().numbers
    await measure(Scale(*numbers) if numbers else SCALE)


async def measure(scale: Scale) -> None:
    """Have all pods of the node judged inside, and follow changes."""
    state = ClusterState.of(d for raw in cluster(scale) if (d := decode_live(raw).item) is not None)
    built = build(state, NODE, Options())
    graph = Graph(built, state, NODE)
    with ExitStack() as stack:
        pods = {}
        for endpoint in built.snapshot.endpoints:
            made = stack.enter_context(closing(Namespace(endpoint.key)))
            addresses = frozenset((f, a) for f in (4, 6) if (a := endpoint.host.address(f)) is not None)
            made.ip(["link add eth0 type veth peer name other", "link set eth0 up"])
            made.ip([f"addr add {print_address(f, a)} dev eth0" for f, a in addresses])
            pods[endpoint.key] = KnownPod(endpoint.key, addresses, netns=made.path)
        status = AgentStatus(pods=pods, table=built.table)
        settings = load_settings({"node": NODE, "placement": "pod"}, {}).settings
        worker = NftWorker()
        rules = PodRules(settings, status, lambda: pods, Way(worker.inside, Inside(), atomic=True), Metrics())
        gc.collect()
        kernel, own = _slab(), _resident()
        began = time.monotonic()
        await rules.look()
        print(f"{scale.name}: all in force after {time.monotonic() - began:.2f} s")
        assert not rules.conditions(), rules.conditions()
        tables = [held.in_force for held in rules._tables.values() if held.in_force]  # noqa: SLF001
        elements = sum(len(part.elements) for table in tables for part in table.parts)
        print(
            f"elements in all namespaces: {elements}, kernel memory {(_slab() - kernel) / 1e6:.1f} MB, "
            f"of the agent {(_resident() - own) / 1e6:.1f} MB"
        )
        print("| event | median | 99 % | namespaces, at most |")
        print("|---|---|---|---|")
        for kind, make in KINDS.items():
            times, most = [], 0
            for change in make(state, EVENTS):
                step = graph.change([change])
                assert step is not None
                status.table = step.ruleset.table
                before = {key: held.in_force for key, held in rules._tables.items()}  # noqa: SLF001
                began = time.monotonic()
                await rules.bring_all()
                times.append(1e3 * (time.monotonic() - began))
                most = max(most, sum(held.in_force is not before[k] for k, held in rules._tables.items()))  # noqa: SLF001
                await rules.sweep()
            print(f"| {kind} | {median(times):.2f} | {quantiles(times, n=100)[98]:.2f} | {most} |")
        await rules._way.inside.rest(0.0)  # noqa: SLF001
        await worker.close()


def _slab() -> int:
    """Bytes that the kernel holds in caches of its own."""
    fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return sum(int(fields[name].split()[0]) * 1024 for name in ("Slab", "Percpu", "VmallocUsed"))


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


if __name__ == "__main__":
    asyncio.run(main())
