"""policyd as it runs on nodes: an agent for each node of the bed, with what libcni keeps of its pods."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.agent.agents import nft, running, write
from tests.attacks.bed import PODS
from tests.attacks.lab_bed import LabBed, addresses_of, policies
from tests.oracle import Manifest
from tests.support.waiting import until

TABLE = ("list", "table", "inet", "policyd")


@contextmanager
def enforced(
    bed: LabBed, folder: Path, *, results: bool = True, closed: bool = True, inside: bool = False
) -> Iterator[Path]:
    """Run the agents until the context ends; give the directory of manifests that they follow.

    Without `results` of libcni they know pods by routes and by the other ends of veths. `closed`: whether
    unknown pods are. `inside`: whether all pods are judged in their own network namespaces, too.
    """
    manifests = folder / "manifests"
    manifests.mkdir()
    write(manifests, "world.yaml", text_of([*bed.objects(), *policies("x")]))
    interfaces = "cali*" if bed.wiring == "routed" else "cni0,veth*"
    with ExitStack() as stack:
        for name, node in bed.lab.nodes.items():
            cache = folder / f"results-{name}"
            cache.mkdir()
            if results:
                write_results(bed, name, cache)
            flags = (
                "--cni-cache",
                str(cache),
                "--node",
                name,
                *(("--pod-interfaces", interfaces) if closed else ()),
                *(("--placement", "pod") if inside else ()),
            )
            # Nobody asks them, and later tests of this session have agents of their own in the one run_dir.
            stack.enter_context(running(node, manifests, "--listen", "", "--run-dir", "", *flags))
        if inside:
            until(lambda: all(nft(pod.namespace, *TABLE) for pod in bed.lab.pods.values()))
        yield manifests


def text_of(objects: list[Manifest]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})


def write_results(bed: LabBed, node: str, folder: Path) -> None:
    """Write what libcni keeps of each pod of a node after its plugins `bridge` or `ptp` have run."""
    for name, number in PODS.items():
        if f"n{number}" != node:
            continue
        found = bed.lab.pods[name]
        sandbox = found.namespace.path
        devices = [
            *(
                [{"name": "cni0", "mac": bed.macs[f"bridge{number}"].hex(":")}]
                if bed.wiring == "bridged"
                else []
            ),
            {"name": found.device},
            {"name": "eth0", "mac": bed.macs[name].hex(":"), "sandbox": sandbox},
        ]
        result = {
            "kind": "cniCacheV1",
            "containerId": f"container-{name}",
            "ifName": "eth0",
            "networkName": "lab",
            "netns": sandbox,
            "cniArgs": [
                ["K8S_POD_NAMESPACE", "x"],
                ["K8S_POD_NAME", name],
                ["K8S_POD_UID", f"x/{name}"],
            ],
            "result": {
                "cniVersion": "1.0.0",
                "interfaces": devices,
                "ips": [
                    {"address": f"{a}/{64 if ':' in a else 24}", "interface": len(devices) - 1}
                    for a in addresses_of(name)
                ],
            },
        }
        write(folder, f"lab-container-{name}-eth0", json.dumps(result))
