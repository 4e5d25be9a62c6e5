"""`make bench`: every number the README quotes, as a table. Nothing here fails for being slow.

Each figure is measured several times, on one processor; the least is the machine's own speed, the spread is
its other work. The last row is a ratio within pairs.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench import datapath
from bench.scenarios import LARGE, NODE, Scale, as_list, cluster

RUNS = 7
SMALL = Scale(pods=6, policies=3, local=6)


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: what it is, its budget, and what was measured, least first."""

    name: str
    budget: str
    values: tuple[float, ...]
    unit: str = "s"

    def __str__(self) -> str:
        low, middle, high = self.values[0], statistics.median(self.values), self.values[-1]
        figures = f"{low:9.3f} {middle:9.3f} {high:9.3f} {self.unit:4}"
        return f"{self.name:44} {figures} {self.budget:>8}"


def main() -> None:
    """Measure and print."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    print(f"{platform.machine()}, Linux {platform.release()}, Python {platform.python_version()}, {_nft()}")
    print(f"{LARGE.name}; one processor\n")
    print(f"{'':44} {'least':>9} {'median':>9} {'most':>9} {'':4} {'budget':>8}")
    with tempfile.TemporaryDirectory(prefix="policyd-bench-") as name:
        folder = Path(name)
        for row in (*_stages(folder), *_commands(folder), *_packets()):
            print(row, flush=True)


def _nft() -> str:
    if shutil.which("nft") is None:
        return "no nft"
    return subprocess.run(["nft", "--version"], capture_output=True, text=True, check=True).stdout.strip()


def _stages(folder: Path) -> list[Row]:
    file = folder / "large.json"
    file.write_bytes(as_list(cluster(LARGE)))
    command = [sys.executable, "-m", "bench.stages", str(file)]
    runs = [json.loads(subprocess.run(command, capture_output=True, check=True).stdout) for _ in range(RUNS)]

    def row(name: str, key: str, budget: str) -> Row:
        return Row(name, budget, tuple(sorted(run[key] for run in runs)))

    counted = ", ".join(f"{runs[0][key]:.0f} {key}" for key in ("policies", "elements"))
    print(f"the node's pods: {counted}")
    return [
        row("decode JSON", "decode", "0.5"),
        row("resolve and compile", "compile", "0.5"),
        row("apply, first, through the library", "apply library", "0.3"),
        row("apply, first, through the program", "apply program", "0.3"),
        row("apply, one policy less, through the library", "change library", ""),
    ]


def _commands(folder: Path) -> list[Row]:
    small = folder / "small"
    small.mkdir()
    for number, item in enumerate(cluster(SMALL)):
        (small / f"{number}.yaml").write_text(json.dumps(item))
    policyd = [sys.executable, "-m", "policyd"]
    large = [*policyd, "compile", "-f", str(folder / "large.json"), "--node", NODE]
    whole = [_run(large) for _ in range(RUNS)]
    return [
        Row("policyd compile, whole", "1.5", tuple(sorted(seconds for seconds, _ in whole))),
        Row("policyd compile, most memory", "250", tuple(sorted(mebibytes for _, mebibytes in whole)), "MiB"),
        Row("policyd --version", "0.1", _repeat(lambda: _run([*policyd, "--version"])[0], 3 * RUNS)),
        Row(
            f"policyd compile of {len(list(small.iterdir()))} objects in a directory",
            "0.3",
            _repeat(lambda: _run([*policyd, "compile", "-f", str(small)])[0], 3 * RUNS),
        ),
    ]


def _repeat(measure: Callable[[], float], times: int) -> tuple[float, ...]:
    return tuple(sorted(measure() for _ in range(times)))


def _run(command: list[str]) -> tuple[float, float]:
    """Wall time in seconds, and the most memory in MiB, of one command."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    took = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    return took, usage.ru_maxrss / 1024


def _packets() -> list[Row]:
    worlds = {"pods": datapath.clients_of_their_own(), "teams": datapath.teams()}
    rows: list[Row] = []
    for family in (4, 6):
        for name, world in worlds.items():
            rows += _compared(f"IPv{family}, new flow", name, datapath.measure(world, family))
        known = datapath.measure_established(worlds["pods"], family)
        rows += _compared(f"IPv{family}, known flow", "pods", known)
    return rows


def _compared(packet: str, name: str, measured: datapath.Measured) -> list[Row]:
    alone, judged = measured
    ratios = tuple(sorted(j / a for a, j in zip(alone, judged, strict=True)))
    return [
        Row(f"{packet}, connection tracking alone", "", tuple(sorted(alone)), "ns"),
        Row(f"{packet}, 1 000 policies that name {name}", "", tuple(sorted(judged)), "ns"),
        Row("ratio of the two, in pairs", "1.10", ratios, ""),
    ]


if __name__ == "__main__":
    main()
