"""The project's own case list on real networks: the same policies and probes as in the lab and the simulator.

Those that a real cluster can have: of NetworkPolicies alone, without blocks of addresses, which are the
network's own here, between pods that simply run, nodes, and somebody outside, by TCP and UDP.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from policyd.lab.namespace import Namespace
from policyd.lab.probes import Probe, probe_all
from policyd.lab.servers import Servers, Transport
from tests.cluster.addresses import CONTROL_PLANE
from tests.cluster.cluster import Cluster
from tests.cluster.failures import ClusterFailed
from tests.cluster.policyd.installation import Installation
from tests.cluster.policyd.networks import NETWORKS, on
from tests.cluster.policyd.pods import Pods, network_of
from tests.oracle import Manifest
from tests.worlds import recorded_world, unresolved_cases

pytestmark = [pytest.mark.cluster, pytest.mark.slow, on(*NETWORKS)]

SPACES = ("x", "y", "z")
TRANSPORTS: Mapping[str, Transport] = {"TCP": "tcp", "UDP": "udp"}
FAMILIES = (4, 6)
#: A change is in force after milliseconds; a machine with other work is waited for.
SECONDS = 30.0
PROBE_SECONDS = 1.2  # longer than the kernel waits before it sends a SYN again


def is_plain(pod: Manifest) -> bool:
    """Whether a pod simply runs, with a network of its own."""
    spec, status = pod["spec"], pod["status"]
    runs = status.get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]
    both = len(status.get("podIPs", ())) == len(FAMILIES)
    return runs and both and not spec.get("hostNetwork") and "initContainers" not in spec


def name_of(pod: Manifest) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


PODS = {name_of(item): item for item in recorded_world() if item["kind"] == "Pod" and is_plain(item)}


def is_policy(item: Manifest) -> bool:
    """Whether it is a NetworkPolicy as users write them; whether it is being deleted a server says."""
    return item["kind"] == "NetworkPolicy" and set(item["metadata"]) <= {"name", "namespace"}


def can_be_tried(probe: Manifest) -> bool:
    ends = (probe["src"], probe["dst"])
    here = all(end in PODS or end.startswith(("node:", "ext:")) for end in ends)
    return here and len(set(ends)) == len(ends) and probe["proto"] in TRANSPORTS and "hairpin" not in probe


CASES = [
    case | {"probes": probes}
    for case in unresolved_cases()
    if all(is_policy(item) for item in case["objects"])
    and "ipBlock" not in json.dumps(case["objects"])
    and (probes := [probe for probe in case["probes"] if can_be_tried(probe)])
]


class World:
    """The pods, nodes and the outside, by the names that cases have for them."""

    def __init__(self, cluster: Cluster, pods: Pods, stack: ExitStack) -> None:
        self.cluster, self._servers = cluster, stack.enter_context(Servers())
        self._listening: set[tuple[str, str, int]] = set()
        self._ends: dict[str, tuple[Namespace, tuple[str, str]]] = {}
        outside = stack.enter_context(network_of("ext", cluster.plane.machine))
        self._ends["ext"] = outside, (CONTROL_PLANE.v4, CONTROL_PLANE.v6)
        for name, node in cluster.nodes.items():
            end = stack.enter_context(network_of(name, node.machine))
            self._ends[f"node:{name}"] = end, (node.addresses.v4, node.addresses.v6)
        for item in recorded_world():
            if item["kind"] == "Namespace":
                cluster.apply(item)
                stack.callback(cluster.delete, "namespace", item["metadata"]["name"])
        cluster.apply(*(_runs(item, cluster.agnhost) for item in PODS.values()))
        for space in SPACES:
            own = [name.partition("/")[2] for name in PODS if name.startswith(f"{space}/")]
            cluster.wait(*(f"pod/{name}" for name in own), namespace=space)
        for name, item in PODS.items():
            space, _, short = name.partition("/")
            found = pods.appears(item["spec"]["nodeName"], space, short)
            v4, v6 = sorted(found.addresses, key=lambda address: ":" in address)
            self._ends[name] = found.network, (v4, v6)

    def probes(self, case: Manifest) -> tuple[list[Probe], list[bool]]:
        """The probes of a case in each of its families, and which of them come through."""
        found, expected = [], []
        for probe in case["probes"]:
            if probe["src"].startswith("ext:") and self.cluster.network == "flannel":
                continue  # nobody outside has a way to its pods
            for family in (probe["family"],) if "family" in probe else FAMILIES:
                source, _ = self._ends[_end(probe["src"])]
                target, addresses = self._ends[_end(probe["dst"])]
                address, transport = addresses[family == 6], TRANSPORTS[probe["proto"]]
                self._serve(target, transport, address, probe["port"])
                found.append(Probe(source, address, transport, probe["port"]))
                expected.append(probe["expect"] == "ALLOW")
        return found, expected

    def _serve(self, target: Namespace, transport: Transport, address: str, port: int) -> None:
        if (address, transport, port) not in self._listening:
            self._servers.listen(target, transport, address, port)
            self._listening.add((address, transport, port))

    @contextmanager
    def policies(self, case: Manifest) -> Iterator[None]:
        """The case's policies, and no other, until the context ends; some are odd, as servers take them."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": case["objects"]})
        self.cluster.kubectl("apply", "--validate=false", "--filename", "-", stdin=text)
        try:
            yield
        finally:
            self.cluster.kubectl("delete", "--filename", "-", "--ignore-not-found", stdin=text)


def _end(text: str) -> str:
    return "ext" if text.startswith("ext:") else text


def _runs(item: Manifest, image: str) -> Manifest:
    """The pod, as it can be made: its containers do nothing, and have their ports."""
    metadata = {key: item["metadata"][key] for key in ("name", "namespace", "labels")}
    containers = [
        {"name": each["name"], "image": image, "args": ["pause"], "ports": each.get("ports", [])}
        for each in item["spec"]["containers"]
    ]
    spec: dict[str, Any] = {"nodeName": item["spec"]["nodeName"], "containers": containers}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": spec | {"terminationGracePeriodSeconds": 0},
    }


def seen(probes: Sequence[Probe]) -> list[bool]:
    return [outcome.result == "answered" for outcome in probe_all(probes, PROBE_SECONDS)]


@pytest.mark.timeout(3600)
def test_the_cases_hold_on_a_real_network(
    automatic: Installation, which: str, pods: Pods, tell: Callable[[str], None]
) -> None:
    """Each until it does, and once more: what came about must stay."""
    failed, refused, count, start = [], [], 0, time.monotonic()
    with ExitStack() as stack:
        world = World(automatic.cluster, pods, stack)
        for case in CASES:
            probes, expected = world.probes(case)
            count += len(probes)
            try:
                with world.policies(case):
                    deadline = time.monotonic() + SECONDS
                    while seen(probes) != expected and time.monotonic() < deadline:
                        pass
                    if (found := seen(probes)) != expected:
                        failed.append((case["id"], case["probes"], found))
            except ClusterFailed as error:
                if "is invalid: " not in str(error):
                    raise
                refused.append(case["id"])  # older servers take such labels
    seconds = time.monotonic() - start
    tried = len(CASES) - len(refused)
    held = f"{tried - len(failed)} of {tried} cases, {count} probes"
    tell(f"The case list, {which}: {held}, {seconds:.0f} s")
    assert not failed
    assert tried > 60
