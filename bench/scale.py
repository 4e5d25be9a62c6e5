"""`python -m bench.scale`: what a cluster costs a real agent, and how soon it notices what changes.

Runs `policyd run` in a network namespace on an API server in another process, and watches it from outside:
its log tells what is in force since when, /proc what it cost.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.apiserver import PROBE_EVERY, probe_address
from bench.links import Links
from bench.rows import quantile
from bench.scenarios import NODE, Scale, addresses_of, local_pods
from policyd.lab.namespace import Namespace

DEADLINE = 600.0
CHURN_SECONDS, CHURN_RATE = 40, 50
LOOK_SECONDS = 0.05
POLICY_CHANGES = 10
#: A pod has its interface so long before the API server knows of its address.
LEAD_SECONDS = 0.3
SCALES = (Scale(1_000, 200, 100), Scale(10_000, 1_000, 100), Scale(100_000, 10_000, 100))
TICKS = os.sysconf("SC_CLK_TCK")

Line = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds and resident MiB, of the agent and of its worker.

    `copies_most`: MiB that copies of the agent had of their own; what they share with it is counted with it.
    """

    agent_cpu: float
    worker_cpu: float
    agent: float
    agent_most: float
    worker: float
    worker_most: float
    copies_most: float

    @property
    def cpu(self) -> float:
        """Seconds of both."""
        return self.agent_cpu + self.worker_cpu

    @property
    def most(self) -> float:
        """MB (10^6 bytes): the sum of all peaks, no less than they had together at any time."""
        return (self.agent_most + self.worker_most + self.copies_most) * 1.048576


@dataclass(frozen=True, slots=True)
class Churn:
    """What changes at a rate (a second) cost, in `took` seconds; seconds until each probe was in force."""

    rate: int
    took: float
    agent_cpu: float
    worker_cpu: float
    commits: int
    probes: tuple[float, ...]

    @property
    def share(self) -> float:
        """Percent of a processor."""
        return 100 * (self.agent_cpu + self.worker_cpu) / self.took


class Server:
    """The API server's process. `links`: the interfaces of the node's pods, which are made before these."""

    def __init__(self, scale: Scale, links: Links) -> None:
        self.links, self._probes = links, 1
        links.add([(probe_address(1),), *map(addresses_of, sorted(local_pods(scale)))])
        command = [
            sys.executable,
            "-m",
            "bench.apiserver",
            *map(str, (scale.pods, scale.policies, scale.local, scale.per_namespace)),
        ]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = str(self._read()["url"])

    def do(self, **command: object) -> list[Line]:
        """Let something happen; what the server says of it."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        lines: list[Line] = []
        while "done" not in (line := self._read()):
            lines.append(line)
        return lines

    def churn(self, seconds: int, rate: int) -> list[Line]:
        """Let pods come, move and go; what the server says of the probes among them.

        Each probe has its interface a while before, as on a node, and not all from the beginning.
        """
        first, self._probes = self._probes + 1, self._probes + -(-seconds * rate // PROBE_EVERY)
        numbers = range(first, self._probes + 1)
        pace = threading.Thread(target=self._add_links, args=(numbers, PROBE_EVERY / rate), daemon=True)
        pace.start()
        time.sleep(LEAD_SECONDS)
        said = self.do(do="churn", seconds=seconds, rate=rate)
        pace.join()
        return said

    def _add_links(self, numbers: Iterable[int], pause: float) -> None:
        began = time.monotonic()
        for at, number in enumerate(numbers):
            time.sleep(max(0.0, began + at * pause - time.monotonic()))
            self.links.add([(probe_address(number),)])

    def _read(self) -> Line:
        assert self.process.stdout is not None
        line: Line = json.loads(self.process.stdout.readline())
        return line


class Agent:
    """A running agent, seen from outside."""

    def __init__(self, folder: Path, url: str) -> None:
        self._log = folder / "log"
        config = folder / "kubeconfig"
        config.write_text(json.dumps(_kubeconfig(url)))
        command = [sys.executable, "-m", "policyd", "run", "--kubeconfig", str(config), "--node", NODE]
        flags = ["--backend", "library", "--log-format", "json", "--state-dir", str(folder)]
        with self._log.open("wb") as log:
            self.began = time.time()
            self.process = subprocess.Popen([*command, *flags], stderr=log)
        self._copies_most = 0.0
        threading.Thread(target=self._watch_copies, daemon=True).start()

    def _watch_copies(self) -> None:
        """See what copies of the agent take, which live for moments: they prove, and try who is to blame."""
        agent = self.process.pid
        while self.process.poll() is None:
            with suppress(OSError):  # it may have ended
                copies = [child for child in _children(agent) if _program(child) == _program(agent)]
                self._copies_most = max(self._copies_most, sum(map(_private, copies)))
            time.sleep(LOOK_SECONDS)

    def in_force(self) -> list[Line]:
        """The log lines that say that a ruleset is in force; `at` is when."""
        found = []
        for text in self._log.read_text().splitlines():
            line = json.loads(text) if text.startswith("{") else {}
            if line.get("event") == "ruleset.applied":
                moment = time.mktime(time.strptime(line["ts"][:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone
                found.append({**line, "at": moment + int(line["ts"][20:23]) / 1000})
        return found

    def until(self, holds: Callable[[list[Line]], object]) -> list[Line]:
        """Wait until what is in force is so."""
        end = time.monotonic() + DEADLINE
        while not holds(lines := self.in_force()):
            assert self.process.poll() is None, self._log.read_text()[-2000:]
            assert time.monotonic() < end, self._log.read_text()[-2000:]
            time.sleep(0.05)
        return lines

    def cost(self) -> Cost:
        """What it has cost up to now."""
        agent = self.process.pid
        workers = [child for child in _children(agent) if _program(child) != _program(agent)]
        return Cost(
            _cpu(agent),
            sum(map(_cpu, workers)),
            _status(agent, "VmRSS"),
            _status(agent, "VmHWM"),
            sum(_status(worker, "VmRSS") for worker in workers),
            sum(_status(worker, "VmHWM") for worker in workers),
            self._copies_most,
        )


@contextmanager
def running(scale: Scale, foreign: str = "") -> Iterator[tuple[Server, Agent]]:
    """An agent on a server, both ended with the block, next to a script's tables."""
    processes: list[subprocess.Popen[Any]] = []
    namespace, links = Namespace("scale"), None
    try:
        with tempfile.TemporaryDirectory(prefix="policyd-scale-") as folder, namespace.entered():
            subprocess.run(["nft", "-f", "-"], input=foreign, text=True, check=True)
            links = Links(namespace)
            server = Server(scale, links)
            processes.append(server.process)
            agent = Agent(Path(folder), server.url)
            processes.append(agent.process)
            yield server, agent
            agent.process.terminate()
            agent.process.wait(30)
    finally:
        for process in processes:
            process.kill()
            process.wait()
        if links is not None:
            links.close()
        namespace.close()


def measure(scale: Scale) -> None:
    """Print what a scale costs."""
    print(f"\n{scale.name}")
    with running(scale) as (server, agent):
        first = agent.until(lambda lines: lines)[0]
        cost = agent.cost()
        print(f"  ready after {first['at'] - agent.began:6.2f} s: {_show(cost)}", flush=True)
        time.sleep(2)  # what is saved after the first ruleset
        print(f"  at rest:             {_show(agent.cost())}", flush=True)
        _policies(server, agent)
        if scale.pods <= 10_000:
            _show_churn(churn(server, agent, CHURN_SECONDS, CHURN_RATE))
        print(f"  in the end:          {_show(agent.cost())}", flush=True)


def _policies(server: Server, agent: Agent) -> None:
    times = []
    for _ in range(POLICY_CHANGES):
        known = len(agent.in_force())
        (said,) = server.do(do="policy")
        times.append(agent.until(lambda lines: len(lines) > known)[-1]["at"] - said["at"])  # noqa: B023
        time.sleep(0.5)
    print(f"  a policy changes:    {_quantiles(times)}", flush=True)


def churn(server: Server, agent: Agent, seconds: int, rate: int) -> Churn:
    """Let pods come, move and go at a rate (a second), and wait until all of it is in force."""
    before, base = agent.cost(), agent.in_force()[-1]
    began = time.monotonic()
    probes = server.churn(seconds, rate)
    lines = agent.until(lambda lines: lines[-1]["pods"] == base["pods"] + len(probes))
    times = []
    for number, probe in enumerate(probes, start=1):
        seen = next(line["at"] for line in lines if line["pods"] >= base["pods"] + number)
        times.append(seen - probe["at"])
    took = time.monotonic() - began
    after = agent.cost()
    cpu = after.agent_cpu - before.agent_cpu, after.worker_cpu - before.worker_cpu
    commits = sum(line["at"] > base["at"] for line in agent.in_force())
    return Churn(rate, took, *cpu, commits, tuple(times))


def _show_churn(found: Churn) -> None:
    print(f"  a pod of ours comes: {_quantiles(found.probes)}", flush=True)
    print(
        f"  {found.rate} changes/s: {found.commits / found.took:.1f} commits/s; "
        f"CPU agent {found.agent_cpu / found.took:.0%}, worker {found.worker_cpu / found.took:.0%}",
        flush=True,
    )


def _quantiles(times: Sequence[float]) -> str:
    middle, p99, most = statistics.median(times), quantile(times, 0.99), max(times)
    return f"median {middle:.3f} s, p99 {p99:.3f} s, most {most:.3f} s of {len(times)}"


def _show(cost: Cost) -> str:
    return (
        f"CPU agent {cost.agent_cpu:6.2f} s, worker {cost.worker_cpu:5.2f} s; "
        f"memory agent {cost.agent:4.0f} MiB (most {cost.agent_most:4.0f}), worker {cost.worker:4.0f} MiB, "
        f"copies at most {cost.copies_most:.0f}"
    )


def _children(pid: int) -> list[int]:
    """Those of all its threads."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for thread in threads for child in (thread / "children").read_text().split()]


def _program(pid: int) -> bytes:
    """A copy's is that of what it is a copy of."""
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def _private(pid: int) -> float:
    """MiB that no other process has."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _status(pid: int, key: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:")) / 1024


def _kubeconfig(url: str) -> Line:
    return {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }


if __name__ == "__main__":
    # So that an end from outside ends the agent and the server, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for each in [s for s in SCALES if not sys.argv[1:] or str(s.pods) in sys.argv[1:]]:
        measure(each)
