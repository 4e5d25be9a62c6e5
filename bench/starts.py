"""`python -m bench.starts`: how long policyd-cni holds a pod's start, and what packets meet meanwhile.

Real plugins and a real agent in network namespaces, pods that start one after the other, and a foe that sends
to every address of theirs all the time. Needs Debian's containernetworking-plugins.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from bench.rows import quantile
from tests.agent.asking import ask_root
from tests.cni.bed import Bed, Wiring
from tests.cni.crowd import Crowd

STARTS, A_SECOND = 1000, 20.0
#: Networks, and where pods are judged there.
PLACES: tuple[tuple[Wiring, str], ...] = (("ptp", "host"), ("bridge", "host"), ("ptp", "pod"))


def main(number: int) -> int:
    """Start pods on either kind of network, and judged inside; fails if one packet leaks or is lost."""
    wrong = 0
    print("| network | placement | pods | leaked | lost | plugin p50 | p99 | agent p50 | p99 |")
    print("|---|---|---|---|---|---|---|---|---|")
    for wiring, placement in PLACES:
        with ExitStack() as stack:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            bed = Bed(stack, directory, wiring)
            bed.install()
            with bed.agent("--cni-cache", str(bed.runtime.results), "--placement", placement):
                found = Crowd(bed).run(number, A_SECOND)
                waits = agent_waits(ask_root("/metrics", bed.run_dir / "policyd.sock")[1])
        wrong += len(found.leaked) + len(found.lost)
        held = sorted(seconds * 1000 for seconds in found.held)
        row: list[object] = [wiring, placement, len(held), len(found.leaked), len(found.lost)]
        row += [f"{quantile(held, q):.0f} ms" for q in (0.5, 0.99)]
        row += [f"≤ {waits[q] * 1000:g} ms" for q in (0.5, 0.99)]
        print(f"| {' | '.join(map(str, row))} |", flush=True)
    return 1 if wrong else 0


def agent_waits(metrics: str) -> dict[float, float]:
    """From a question's arrival at the agent to its answer, in seconds: the histogram's bounds."""
    prefix = 'policyd_pod_start_wait_seconds_bucket{le="'
    lines = [line[len(prefix) :].split('"} ') for line in metrics.splitlines() if line.startswith(prefix)]
    counts = [(float(bound), float(count)) for bound, count in lines]
    return {q: next(b for b, count in counts if count >= q * counts[-1][1]) for q in (0.5, 0.99)}


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else STARTS))
