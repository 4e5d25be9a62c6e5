"""What `bench.table`'s rows take their figures from: each measured once, when the first row asks for it."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from bench import datapath, elements, following, latency, tcp
from bench.events import Effort, Events
from bench.machine import one_processor
from bench.scale import Churn, Cost, churn, running
from bench.scenarios import LARGE, NODE, Scale, as_list, cluster

Result = TypeVar("Result")
Family = Literal[4, 6]
#: New flows where policies name pods or teams, or to one of many pods; packets of established flows; TCP
#: connections, and bytes over one; new flows through rulesets in the shape of others.
Kind = Literal["new", "teams", "among", "known", "connect", "bulk", "walked", "jumps"]

#: With 100 pods that a policy selects when it is edited there are 250 on the node.
AIMED = Scale(pods=100_000, policies=10_000, local=150, per_namespace=20)
SMALL = Scale(pods=6, policies=3, local=6)
FOREIGN_RANGES = 50_000
CHURN_RATE, CHURN_SECONDS = 200, 40
#: Runs of a whole command or compilation.
TIMES = 7


@dataclass(frozen=True, slots=True)
class Lived:
    """An agent's life in a large cluster: seconds until the first ruleset, what all cost, changes by kind."""

    ready: float
    first: Cost
    changes: dict[str, list[float]]
    churn: Churn
    last: Cost


class Runs:
    """Measurements, remembered, failures too: what failed is not tried for each of its rows."""

    def __init__(self, effort: Effort, rounds: int = datapath.ROUNDS, times: int = TIMES) -> None:
        """`rounds`: of packets, one more than pairs; `times`: of commands and compilations."""
        self._effort, self._rounds, self._times = effort, rounds, times
        self._known: dict[object, object] = {}

    def lived(self, scale: Scale) -> Lived:
        """`bench.scale` with `bench.events`; the largest next to a foreign table and a large namespace."""
        return self._once(("lived", scale), lambda: _live(scale, self._effort))

    def handful(self) -> dict[str, list[float]]:
        """`bench.latency`: seconds by kind of change."""

        def measure() -> dict[str, list[float]]:
            with latency.running() as bench:
                return bench.changes(self._effort.samples)

        return self._once("handful", measure)

    def packets(self, kind: Kind, family: Family, number: int) -> datapath.Measured:
        """`bench.datapath`: nanoseconds for a packet, in pairs: alone, judged.

        `number` of policies; for `among` and `jumps`, of pods of the node.
        """

        def measure() -> datapath.Measured:
            with one_processor():
                return _packets(kind, family, number, self._rounds)

        return self._once(("packets", kind, family, number), measure)

    def ratios(self, kind: Kind, family: Family, number: int) -> list[float]:
        """Of these, judged to alone, pair by pair."""
        return [j / a for a, j in zip(*self.packets(kind, family, number), strict=True)]

    def flatness(self, kind: Kind, family: Family, numbers: tuple[int, ...]) -> list[float]:
        """The largest of the median ratios to the least, over these numbers."""
        middles = [statistics.median(self.ratios(kind, family, n)) for n in numbers]
        return [max(middles) / min(middles)]

    def element(self, foreign: int, what: str, count: int) -> list[float]:
        """`bench.elements`: microseconds of a processor for one element of so many at a time."""

        def measure() -> list[elements.Timed]:
            with one_processor():
                return elements.measure(foreign)

        timed = self._once(("elements", foreign), measure)
        return [value for each in timed if (each.what, each.elements) == (what, count) for value in each.each]

    def stages(self, scale: Scale) -> list[dict[str, float]]:
        """`bench.stages`: seconds by stage of a compilation and its apply; a large cluster only once."""
        times = self._times if scale.pods <= LARGE.pods else 1
        return self._once(("stages", scale), lambda: _stages(scale, times))

    def followed(self, scale: Scale, kind: str = following.REMOTE) -> list[float]:
        """`bench.following`: milliseconds of a processor for an event, from objects to ordered elements."""

        def measure() -> following.Measured:
            with one_processor():
                return following.measure(scale)

        row = self._once(("followed", scale), measure).rows[kind]
        return [first + second for first, second in zip(row.followed, row.ordered, strict=True)]

    def commands(self) -> dict[str, list[float]]:
        """Seconds of the commands without a cluster, and MiB."""
        return self._once("commands", lambda: _commands(self._times))

    def _once(self, key: object, measure: Callable[[], Result]) -> Result:
        if key not in self._known:
            try:
                self._known[key] = measure()
            except Exception as error:
                self._known[key] = error
                raise
        known: Any = self._known[key]
        if isinstance(known, Exception):
            raise known
        result: Result = known
        return result


def _packets(kind: Kind, family: Family, number: int, rounds: int) -> datapath.Measured:
    match kind:
        case "new":
            return datapath.measure(datapath.clients_of_their_own(number), family, rounds=rounds)
        case "teams":
            return datapath.measure(datapath.teams(number), family, rounds=rounds)
        case "among":
            return datapath.measure(datapath.neighbours(number), family, rounds=rounds)
        case "known":
            return datapath.measure_established(datapath.clients_of_their_own(number), family, rounds=rounds)
        case "connect":
            return tcp.measure(tcp.connects, number, family, rounds=rounds)
        case "bulk":
            return tcp.measure(tcp.bulk, number, family, rounds=rounds)
        case "walked":
            return datapath.measure_script(datapath.walked(number, family), family, rounds=rounds)
        case "jumps":
            return datapath.measure_script(datapath.jumps(number, family), family, rounds=rounds)


def _live(scale: Scale, effort: Effort) -> Lived:
    aimed = scale == AIMED
    with running(scale, elements.foreign_table(FOREIGN_RANGES) if aimed else "") as (server, agent):
        ready = agent.until(lambda lines: lines)[0]["at"] - agent.began
        first = agent.cost()
        time.sleep(2)  # what is saved after the first ruleset
        # Before what is prepared for the changes, which is many changes at once.
        churned = churn(server, agent, max(1, min(CHURN_SECONDS, int(effort.seconds))), CHURN_RATE)
        events = Events(server, agent, "ns-1")
        events.prepare(effort.samples, crowd=aimed)
        changes = events.measure(effort, crowd=aimed)
        return Lived(ready, first, changes, churned, agent.cost())


def _stages(scale: Scale, times: int) -> list[dict[str, float]]:
    with tempfile.TemporaryDirectory(prefix="policyd-bench-") as folder, one_processor():
        file = Path(folder) / "cluster.json"
        file.write_bytes(as_list(cluster(scale)))
        command = [sys.executable, "-m", "bench.stages", str(file)]
        runs = [
            json.loads(subprocess.run(command, capture_output=True, check=True).stdout) for _ in range(times)
        ]
    if scale == LARGE:
        assert runs[0]["isolated"] > runs[0]["pods"] // 2, "hardly a pod of the node is isolated"
        assert runs[0]["policies"] > runs[0]["pods"], "hardly a policy selects a pod of the node"
    return runs


def _commands(times: int) -> dict[str, list[float]]:
    policyd = [sys.executable, "-m", "policyd"]
    with tempfile.TemporaryDirectory(prefix="policyd-bench-") as name, one_processor():
        large, small = Path(name) / "large.json", Path(name) / "small"
        large.write_bytes(as_list(cluster(LARGE)))
        small.mkdir()
        for number, item in enumerate(cluster(SMALL)):
            (small / f"{number}.yaml").write_text(json.dumps(item))
        whole = [_run([*policyd, "compile", "-f", str(large), "--node", NODE]) for _ in range(times)]
        return {
            "compile": [seconds for seconds, _ in whole],
            "compile-memory": [mebibytes for _, mebibytes in whole],
            "version": [_run([*policyd, "--version"])[0] for _ in range(3 * times)],
            "directory": [_run([*policyd, "compile", "-f", str(small)])[0] for _ in range(3 * times)],
        }


def _run(command: list[str]) -> tuple[float, float]:
    """Wall time in seconds, and the most memory in MiB, of one command."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    took = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    return took, usage.ru_maxrss / 1024
