"""Upstream's conformance suite of ClusterNetworkPolicy against a cluster, as it is: which tests passed.

Its pods run agnhost behind a stand-in (`programs/cnp`) that speaks SCTP where the kernel has no sockets for
it, and that can wait before each probe. The suite waits for no policy to be in force: where a first probe has
to pass, a slow engine passes, too. So nothing is claimed that does not also hold with a pause (`settle`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from tests.cluster import programs
from tests.cluster.client import Client
from tests.cluster.control_plane import ControlPlane
from tests.cluster.failures import ClusterFailed
from tests.cluster.image import write_image
from tests.cluster.requirements import STATIC_BASH

Channel: TypeAlias = Literal["standard", "experimental"]

DEFINITION = "clusternetworkpolicies.policy.networking.k8s.io"
PROFILE = "ClusterNetworkPolicy"
#: The label of the namespaces that the suite makes, and removes again when told so.
HOUSE = "conformance-house"
NO_TEST = "$^"
SECONDS = 5400
RESULT = re.compile(r"^    --- (PASS|FAIL|SKIP): \w+/(\w+) ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Conformance:
    """What the suite found; `output` is what a person reads when something failed."""

    passed: tuple[str, ...]
    failed: tuple[str, ...]
    output: str


@dataclass(frozen=True, slots=True)
class Implementation:
    """Who is said to conform, in a report: the words that upstream wants to have in it."""

    organization: str
    project: str
    url: str
    version: str
    contact: str
    additional: str


def define_policies(client: Client, channel: Channel) -> None:
    """Bring the kind into the cluster, or change its channel, and wait until the server has it."""
    definition = (
        programs.folder("cnp") / "crds" / channel / "policy.networking.k8s.io_clusternetworkpolicies.yaml"
    )
    client.kubectl("apply", "--server-side", "--force-conflicts", "--filename", str(definition))
    client.wait(f"crd/{DEFINITION}", until="condition=Established")


def write_probe_image(archive: Path, *, settle: float, tag: str = "") -> str:
    """Write the image of the suite's pods, whose probes wait that many seconds first; give its name."""
    kit = programs.folder("cnp")
    name = tag or (kit / programs.SUITE_IMAGE).read_text()
    write_image(
        archive,
        "agnhost",
        programs={
            "agnhost": kit / "agnhost-sctp",
            "agnhost-real": Path(programs.program("agnhost")),
            "bin/bash": STATIC_BASH,
        },
        tags=(name,),
        command=("pause",),
        env={"PROBE_AFTER": f"{settle:g}s"},
    )
    return name


def run_conformance(
    plane: ControlPlane, tests: str, *, keep: bool, report: tuple[Path, Implementation] | None, seconds: float
) -> Conformance:
    """Run the tests whose short names match the regular expression, with all features."""
    programs.require("cnp")
    entry = "TestConformanceProfiles" if report else "TestConformance"
    result = plane.machine.run(
        programs.program("conformance.test"),
        "-test.v",
        f"-test.timeout={seconds:.0f}s",
        f"-test.run=^{entry}$/({tests})",  # a bare | would be one of whole paths
        "--all-features",
        f"--cleanup-base-resources={str(not keep).lower()}",
        *(_report_flags(*report) if report else ()),
        env={"KUBECONFIG": str(plane.authority.file("admin.conf"))},
        seconds=seconds + 60,
        check=False,
    )
    output = result.stdout + result.stderr
    results = RESULT.findall(output)
    if result.returncode != 0 and not results:
        raise ClusterFailed(f"the conformance suite did not run:\n{output[-2000:]}")
    return Conformance(
        tuple(sorted(name for word, name in results if word == "PASS")),
        tuple(sorted(name for word, name in results if word != "PASS")),
        output,
    )


def _report_flags(path: Path, implementation: Implementation) -> tuple[str, ...]:
    words = {
        "conformance-profiles": PROFILE,
        "organization": implementation.organization,
        "project": implementation.project,
        "url": implementation.url,
        "version": implementation.version,
        "contact": implementation.contact,
        "additional-info": implementation.additional,
        "report-output": str(path),
    }
    return tuple(f"--{name}={value}" for name, value in words.items())
