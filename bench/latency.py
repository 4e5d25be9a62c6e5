"""`python -m bench.latency`: how soon a change is in force in a small cluster, and what bursts cost.

Runs `policyd run` in a network namespace with two pods, on an API server in another process. From the moment
before the server says what has changed to the first packet that meets it, one packet each millisecond.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.links import Links
from bench.rows import quantile
from bench.scale import Agent, Line, Server
from bench.scenarios import NODE, Scale
from policyd.lab.lab import Lab
from policyd.lab.plan import NodePlan, PodPlan
from tests.cluster.policyd.stream import Stream

SCALE = Scale(100, 20, 20)
SAMPLES = 100
#: Between two changes, so that each comes after a quiet spell, at another moment of whatever else is done.
REST_SECONDS = (0.3, 0.6)
IN_FORCE_SECONDS = 30.0
PLACE, SOURCE, TARGET = "latency", "source", "target"
ADDRESSES = {SOURCE: ("10.250.0.1", "fd00:250::1"), TARGET: ("10.250.0.2", "fd00:250::2")}
#: How many changes come together, and seconds between two of them.
BURSTS = ((2, 0.001), (2, 0.01), (20, 0.001), (20, 0.006), (20, 0.02), (20, 0.05))


class Bench:
    """A server, an agent, and packets from a pod to another."""

    def __init__(self, server: Server, agent: Agent, stream: Stream) -> None:
        self._server, self._agent, self._stream = server, agent, stream
        self._number = 0

    def prepare(self) -> None:
        """Put the two pods there, and wait until packets arrive."""
        self._put(_namespace())
        self._put(_policy([_from("other")], "others", SOURCE))
        for name in ADDRESSES:
            self._put(_pod(name, {"app": name}))
        assert self._stream.wait_for_arrival(self._stream.now(), IN_FORCE_SECONDS) is not None
        time.sleep(2.0)

    def changes(self, samples: int) -> dict[str, list[float]]:
        """Make every kind of change so many times; the seconds by kind of change."""
        found: dict[str, list[float]] = {}
        cycle: tuple[tuple[str, bool, Line], ...] = (
            ("policy created: denies", False, _policy([])),
            ("policy changed: allows", True, _policy([_from(SOURCE)])),
            ("pod's label: denies", False, _pod(SOURCE, {"app": "foe"})),
            ("pod's label: allows", True, _pod(SOURCE, {"app": SOURCE})),
            ("policy changed: denies", False, _policy([])),
            ("policy deleted: allows", True, {}),
        )
        for _ in range(samples):
            for kind, arrives, item in cycle:
                first = self._stream.now()
                at = self._put(item) if item else self._delete()
                found.setdefault(kind, []).append(self._met(first, at, arrives=arrives))
                time.sleep(random.uniform(*REST_SECONDS))
        return found

    def burst(self, count: int, gap: float) -> tuple[float, float, int]:
        """Let changes come together, pods and at last a policy: seconds from the first change to the first
        ruleset, from the last one until it is in force, and how many rulesets that made.
        """
        items = [*(self._other() for _ in range(count - 1)), _policy([])]
        before, first = len(self._agent.in_force()), self._stream.now()
        wall = time.time() - time.monotonic()
        said = self._server.do(do="burst", items=items, gap=gap)
        in_force = self._met(first, said[-1]["at"], arrives=False)
        time.sleep(0.3)
        made = self._agent.in_force()[before:]
        self._met(self._stream.now(), self._delete(), arrives=True)
        time.sleep(0.5)
        return made[0]["at"] - wall - said[0]["at"], in_force, len(made)

    def _other(self) -> Line:
        """A pod of another node that a policy of this one knows."""
        self._number += 1
        pod = _pod(f"other-{self._number % 50}", {"app": "other"})
        address = f"10.251.{self._number >> 8}.{self._number & 255}"
        return {
            **pod,
            "spec": {**pod["spec"], "nodeName": "node-7"},
            "status": {"phase": "Running", "podIPs": [{"ip": address}]},
        }

    def _put(self, item: Line) -> float:
        (said,) = self._server.do(do="put", item=item)
        return float(said["at"])

    def _delete(self) -> float:
        (said,) = self._server.do(do="delete", kind="NetworkPolicy", key=f"{PLACE}/deny")
        return float(said["at"])

    def _met(self, first: int, at: float, *, arrives: bool) -> float:
        wait = self._stream.wait_for_arrival if arrives else self._stream.wait_for_loss
        met = wait(first, IN_FORCE_SECONDS)
        assert met is not None, "not in force in time"
        return self._stream.sent_at(met) - at


def _namespace() -> Line:
    return {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": PLACE}}


def _pod(name: str, labels: dict[str, str]) -> Line:
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"namespace": PLACE, "name": name, "labels": labels},
        "spec": {"nodeName": NODE, "containers": [{"name": "c"}]},
        "status": {"phase": "Running", "podIPs": [{"ip": a} for a in ADDRESSES.get(name, ())]},
    }


def _policy(ingress: list[Line], name: str = "deny", app: str = TARGET) -> Line:
    return {
        "kind": "NetworkPolicy",
        "apiVersion": "networking.k8s.io/v1",
        "metadata": {"namespace": PLACE, "name": name},
        "spec": {
            "podSelector": {"matchLabels": {"app": app}},
            "policyTypes": ["Ingress"],
            "ingress": ingress,
        },
    }


def _from(app: str) -> Line:
    return {"from": [{"podSelector": {"matchLabels": {"app": app}}}]}


@contextmanager
def running() -> Iterator[Bench]:
    """An agent on a server, both ended with the block."""
    pods = tuple(PodPlan(f"{PLACE}/{name}", addresses) for name, addresses in ADDRESSES.items())
    plan = NodePlan(NODE, ("192.0.2.1", "2001:db8:1::1"), pods)
    with tempfile.TemporaryDirectory(prefix="policyd-latency-") as folder, Lab([plan]) as lab:
        processes: list[subprocess.Popen[Any]] = []
        links = Links(lab.nodes[NODE])
        try:
            with lab.nodes[NODE].entered():
                server = Server(SCALE, links)
                processes.append(server.process)
                agent = Agent(Path(folder), server.url)
                processes.append(agent.process)
            agent.until(lambda lines: lines)
            source, target = (lab.pods[f"{PLACE}/{name}"].namespace for name in (SOURCE, TARGET))
            with Stream(source, target, ADDRESSES[TARGET][0]) as stream:
                bench = Bench(server, agent, stream)
                bench.prepare()
                yield bench
            agent.process.terminate()
            agent.process.wait(30)
        finally:
            for process in processes:
                process.kill()
                process.wait()
            links.close()


def main(samples: int, rounds: int) -> None:
    """Measure and print."""
    with running() as bench:
        print("| change | samples | p50 | p90 | p99 | longest |\n|---|---|---|---|---|---|")
        for kind, seconds in bench.changes(samples).items():
            cells = " | ".join(f"{1000 * quantile(seconds, q):.1f} ms" for q in (0.5, 0.9, 0.99, 1.0))
            print(f"| {kind} | {len(seconds)} | {cells} |", flush=True)
        if rounds:
            print("\n| changes, between two | the first in force | the last in force | rulesets |")
            print("|---|---|---|---|")
        for count, gap in BURSTS if rounds else ():
            found = [bench.burst(count, gap) for _ in range(rounds)]
            first, last, made = (quantile([each[n] for each in found], 0.5) for n in range(3))
            print(f"| {count}, {gap * 1000:g} ms | {1000 * first:.1f} ms | {1000 * last:.1f} ms | {made:g} |")


if __name__ == "__main__":
    # So that an end from outside ends the agent and the server, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    numbers = [*map(int, sys.argv[1:3])]
    main(numbers[0] if numbers else SAMPLES, numbers[1] if len(numbers) > 1 else 0)
