"""Cyclonus' tests of NetworkPolicy against a cluster: a few policies each, and probes between all its pods.

The tests and what they expect are Cyclonus' own; what runs them is `programs/cyclonus`, which says what it
does otherwise. Its pods have agnhost behind the stand-in that speaks SCTP (`programs/cnp`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import programs
from tests.cluster.control_plane import ControlPlane
from tests.cluster.failures import ClusterFailed
from tests.cluster.image import write_image

#: By these names it makes them; the last are of single tests.
NAMESPACES = ("x", "y", "z", "w", "y-2")
#: By this name it asks for the image of its pods, as a node completes it.
IMAGE = "docker.io/mfenwick100/cyclonus-worker:latest"
ENDED = 0


@dataclass(frozen=True, slots=True)
class CyclonusReport:
    """What Cyclonus found, by its tests' numbers and names; `output` has the tables of those that failed."""

    passed: tuple[str, ...]
    failed: tuple[str, ...]
    output: str


def write_worker_image(archive: Path) -> None:
    """Write the image of Cyclonus' pods."""
    write_image(
        archive,
        "agnhost",
        programs={
            "agnhost": programs.folder("cnp") / "agnhost-sctp",
            "agnhost-real": Path(programs.program("agnhost")),
            "worker": Path(programs.program("cyclonus")),
        },
        tags=(IMAGE,),
        command=("pause",),
    )


def run_cyclonus(
    plane: ControlPlane, tests: str, *, services: bool, baseline: bool, sctp: bool, seconds: float
) -> CyclonusReport:
    """Run the tests whose numbers and names match the regular expression; `sctp`: those of SCTP, too."""
    programs.require("cyclonus", "cnp")
    results = plane.path / "cyclonus.json"
    results.unlink(missing_ok=True)
    result = plane.machine.run(
        programs.program("cyclonus"),
        f"-destination={'service-ip' if services else 'pod-ip'}",
        f"-baseline={str(baseline).lower()}",
        f"-sctp={str(sctp).lower()}",
        f"-only={tests}",
        f"-results={results}",
        env={"KUBECONFIG": str(plane.authority.file("admin.conf"))},
        seconds=seconds,
        check=False,
    )
    output = result.stdout + result.stderr
    if result.returncode != ENDED or not results.exists():
        raise ClusterFailed(f"Cyclonus did not end:\n{output[-2000:]}")
    found: dict[str, bool] = json.loads(results.read_text())
    return CyclonusReport(
        tuple(name for name, passed in found.items() if passed),
        tuple(name for name, passed in found.items() if not passed),
        output,
    )
