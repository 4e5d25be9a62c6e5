"""Upstream's conformance suite of ClusterNetworkPolicy passes, as it is: every test, of both channels.

Not at once alone: a probe that must succeed says nothing while a policy is not in force yet. So all of it
passes with a pause before each probe, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from policyd.version import VERSION
from tests.cluster.cluster import Cluster
from tests.cluster.conformance import SECONDS, Conformance, Implementation, write_probe_image
from tests.cluster.policyd.image import ROOT
from tests.cluster.policyd.pods import Place, Pods, policy
from tests.cluster.programs import REGISTRY
from tests.setting import chosen_count

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

#: Of the version that is built: 24 of the standard channel, 4 of named ports, 2 of node peers.
TESTS = 30
#: One that passes by luck mostly does not do so three times. A run of all takes 20 minutes.
RUNS = chosen_count("POLICYD_CONFORMANCE_RUNS", 1)
#: Longer than any engine takes to bring a policy into force.
SETTLE = 4
NODE_PEERS = "NodePeers"
#: One of each kind: what depends on the family of an address.
IN_IPV6 = (
    "CNP(Admin|Baseline)Tier(IngressSCTP|PortRange)$|AdminTier(PodSelector|SamePriority|EgressNamedPort)"
)
REPORTS = ROOT / "dist" / "conformance"
POLICYD = Implementation(
    organization="policyd",
    project="policyd",
    url="https://policyd.invalid",
    version=VERSION,
    contact="@policyd",
    additional="https://policyd.invalid",
)
#: Who asks in the tests of node peers, and the pod on the host network that is asked.
CLIENT = ("harry-potter-1", "network-policy-conformance-gryffindor")
SERVER = ("centaur-1", "network-policy-conformance-forbidden-forrest")
SERVED, DENIED, NOBODYS = 9003, 9005, 9007


def on(*networks: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("client", networks, indirect=True)


def assert_passed(found: Conformance, tests: int) -> None:
    assert not found.failed, "\n".join(found.output.splitlines()[-400:])
    assert len(found.passed) == tests


@on("ptp", "flannel")
@pytest.mark.parametrize("run", range(1, RUNS + 1))
def test_all_of_upstreams_suite(
    tiers: Cluster, run: int, tell: Callable[[str], None], tmp_path: Path
) -> None:
    written = tmp_path / "report.yaml"
    start = time.monotonic()
    found = tiers.conformance(report=(written, POLICYD))
    seconds = time.monotonic() - start
    passed = f"{len(found.passed)} of {TESTS} passed in {seconds:.0f} s"
    tell(f"Upstream's ClusterNetworkPolicy suite, {tiers.network}, run {run}: {passed}")
    assert_passed(found, TESTS)
    REPORTS.mkdir(parents=True, exist_ok=True)
    (REPORTS / f"{tiers.network}-{run}.yaml").write_bytes(written.read_bytes())


@on("ptp", "flannel")
@pytest.mark.timeout(2 * SECONDS)
def test_all_when_the_policies_are_in_force(tiers: Cluster, tell: Callable[[str], None]) -> None:
    start = time.monotonic()
    found = tiers.conformance(settle=SETTLE)
    seconds = time.monotonic() - start
    passed = f"{len(found.passed)} of {TESTS} passed in {seconds:.0f} s"
    tell(f"Upstream's ClusterNetworkPolicy suite, {tiers.network}, {SETTLE} s before each probe: {passed}")
    assert_passed(found, TESTS)


@on("ptp", "flannel")
@pytest.mark.parametrize("other", [False, True], ids=["own-node", "other-node"])
def test_node_peers_when_the_policies_are_in_force(tiers: Cluster, other: bool) -> None:
    """Once from a pod of the node that is asked, where the packet goes in, and once from another."""
    tiers.prepare_conformance(settle=SETTLE)
    server = node_of(tiers, *SERVER)
    move(tiers, *CLIENT, next(name for name in tiers.nodes if (name != server) == other))
    assert_passed(tiers.conformance(NODE_PEERS, settle=SETTLE, keep=True), 2)
    assert node_of(tiers, *SERVER) == server
    assert (node_of(tiers, *CLIENT) != server) == other


@pytest.mark.parametrize(
    "client", [pytest.param({"network": "ptp", "primary": "v6"}, id="ipv6")], indirect=True
)
def test_in_ipv6(tiers: Cluster) -> None:
    """The suite asks a pod's first address."""
    assert_passed(tiers.conformance(IN_IPV6), 7)
    assert_passed(tiers.conformance(NODE_PEERS, settle=SETTLE), 2)


@on("ptp")
def test_the_sctp_of_the_suites_pods_is_judged(tiers: Cluster, pods: Pods, tmp_path: Path) -> None:
    """It passes where it is allowed, and times out where it is not: by a policy, or since nobody listens."""
    archive = tmp_path / "probe.tar"
    image = write_probe_image(archive, settle=0, tag=f"{REGISTRY}/probe:1")
    tiers.load_image(archive)
    namespace = pods.namespace("sctp")
    tiers.apply(server(namespace, image))
    pods.start(namespace, {"asking": Place("n2")}, image=image)
    tiers.wait("pod/serving", namespace=namespace)
    addresses = pods.appears("n1", namespace, "serving").addresses
    assert len(addresses) == 2

    def answers(port: int) -> list[str]:
        return [ask(tiers, namespace, address, port) for address in addresses]

    assert answers(SERVED) == answers(DENIED) == ["", ""]
    allowed = {"ports": [{"protocol": "SCTP", "port": SERVED}]}
    tiers.apply(policy("some", namespace, policyTypes=["Ingress"], ingress=[allowed]))
    denied = ["TIMEOUT", "TIMEOUT"]
    deadline = time.monotonic() + 30
    while answers(DENIED) != denied and time.monotonic() < deadline:
        pass  # each takes a second
    assert answers(DENIED) == answers(NOBODYS) == denied
    assert answers(SERVED) == ["", ""]


def server(namespace: str, image: str) -> dict[str, object]:
    ports = [{"name": f"SERVE_SCTP_PORT_{port}", "value": "here"} for port in (SERVED, DENIED)]
    container = {"name": "porter", "image": image, "args": ["porter"], "env": ports}
    spec = {"nodeName": "n1", "containers": [container], "terminationGracePeriodSeconds": 0}
    metadata = {"name": "serving", "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def ask(cluster: Cluster, namespace: str, address: str, port: int) -> str:
    """What the probe says, which is nothing if it got an answer."""
    target = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    probe = ("/agnhost", "connect", "--protocol=sctp", "--timeout=1s", target)
    said = cluster.exec("asking", *probe, namespace=namespace).stderr
    return said.partition("\n")[0]


def node_of(cluster: Cluster, pod: str, namespace: str) -> str:
    return str(cluster.get("pod", pod, namespace=namespace)["spec"]["nodeName"])


def move(cluster: Cluster, pod: str, namespace: str, node: str) -> None:
    """Let the StatefulSet make its pod again, on a node of our choice."""
    if node_of(cluster, pod, namespace) == node:
        return
    others = [name for name in cluster.nodes if name != node]
    cluster.kubectl("cordon", *others)
    try:
        cluster.delete("pod", pod, namespace=namespace)
        cluster.wait(f"pod/{pod}", namespace=namespace, until="create")
        cluster.wait(f"pod/{pod}", namespace=namespace)
    finally:
        cluster.kubectl("uncordon", *others)
