"""Upstream's own e2e tests against a cluster: which passed, which failed, and why."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import programs
from tests.cluster.control_plane import ControlPlane
from tests.cluster.failures import ClusterFailed

SKIP = "SCTPConnectivity"  # these open SCTP sockets, which many kernels do not have


@dataclass(frozen=True, slots=True)
class E2eFailure:
    """A test of upstream's that failed, with what it said at last, and all along."""

    test: str
    message: str
    log: str


@dataclass(frozen=True, slots=True)
class E2eReport:
    """What upstream's tests found; `output` is what a person reads when something failed."""

    passed: tuple[str, ...]
    failed: tuple[E2eFailure, ...]
    output: str


def run_e2e(plane: ControlPlane, focus: str, *, procs: int, skip: str, seconds: float) -> E2eReport:
    """Run upstream's tests whose names match the regular expression `focus`, and not `skip`."""
    programs.require("e2e")
    images, report = plane.path / "images.yaml", plane.path / "e2e.json"
    images.write_text(f"promoterE2eRegistry: {programs.REGISTRY}\n")
    report.unlink(missing_ok=True)
    suite = (programs.program("e2e.test"), "--", "--kubeconfig", str(plane.authority.file("admin.conf")))
    result = plane.machine.run(
        programs.program("ginkgo"),
        f"--procs={procs}",
        f"--focus={focus}",
        f"--skip={skip}",
        f"--timeout={seconds:.0f}s",
        f"--output-dir={plane.path}",
        f"--json-report={report.name}",
        "--no-color",
        "--silence-skips",
        *suite,
        "--provider=skeleton",
        "--num-nodes=2",
        "--disable-log-dump",
        env={"KUBE_TEST_REPO_LIST": str(images)},
        seconds=seconds + 60,  # ginkgo ends in order, with a report, when its own time is over
        check=False,
    )
    output = result.stdout + result.stderr
    if not report.exists():
        raise ClusterFailed(f"the e2e tests did not run:\n{output[-2000:]}")
    return _read(report, output)


def _read(report: Path, output: str) -> E2eReport:
    passed, failed = [], []
    for suite in json.loads(report.read_text()):
        for spec in suite["SpecReports"] or ():
            texts = [*(spec["ContainerHierarchyTexts"] or ()), spec["LeafNodeText"] or spec["LeafNodeType"]]
            name, state = " ".join(texts), spec["State"]
            if state == "passed" and spec["LeafNodeType"] == "It":
                passed.append(name)
            elif state not in ("passed", "skipped", "pending"):
                failed.append(
                    E2eFailure(name, spec["Failure"]["Message"], spec["CapturedGinkgoWriterOutput"])
                )
    return E2eReport(tuple(sorted(passed)), tuple(failed), output)
