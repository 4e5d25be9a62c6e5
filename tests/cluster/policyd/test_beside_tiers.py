"""Where ClusterNetworkPolicy is installed, NetworkPolicy's tests still pass: upstream's own, and Cyclonus'.

With no policy of a tier, and with a Baseline policy that denies everything: it has no say where a
NetworkPolicy selects a pod in a direction, and in every other direction nothing passes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from policyd.lab.probes import Probe, probe_all
from policyd.lab.servers import Servers
from tests.cluster.cluster import Cluster
from tests.cluster.failures import wait_until
from tests.cluster.policyd.pods import Place, Pods, cluster_policy
from tests.cluster.policyd.upstream import CYCLONUS_TESTS, FOCUS, TESTS, story, tables

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

EVERYWHERE: dict[str, object] = {"namespaces": {}}
#: The label that upstream's tests give to each namespace that they make.
OF_UPSTREAM = {"namespaces": {"matchExpressions": [{"key": "e2e-run", "operator": "Exists"}]}}
EVERYTHING = [EVERYWHERE, {"nodes": {}}, {"networks": ["0.0.0.0/0", "::/0"]}]
PORT = 8080
PROBE_SECONDS = 1.2  # longer than the kernel waits before it sends a SYN again
IN_FORCE_SECONDS = 60.0


def on(*networks: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("client", networks, indirect=True)


@on("ptp", "flannel")
def test_upstreams_own_tests_pass_with_empty_tiers(tiers: Cluster, tell: Callable[[str], None]) -> None:
    assert_upstream_passes(tiers, tell, "no policy of a tier")


@on("ptp", "flannel")
def test_upstreams_own_tests_pass_with_a_baseline_that_denies(
    tiers: Cluster, pods: Pods, tell: Callable[[str], None]
) -> None:
    """Their pods that no NetworkPolicy selects have to reach each other: the Baseline accepts that first.

    So all that it could do here to a pod that one selects is to let through what that one does not allow, and
    then these tests fail. That its Deny has no say there either is for Cyclonus, which has most of upstream's
    tests among its own, and with which nothing is accepted.
    """
    with denied(tiers, pods, accepted=[OF_UPSTREAM]):
        assert_upstream_passes(tiers, tell, "with a Baseline that denies all but their pods")


@on("ptp", "flannel")
@pytest.mark.timeout(2 * 3600)
def test_cyclonus_passes_with_empty_tiers(tiers: Cluster, tell: Callable[[str], None]) -> None:
    assert_cyclonus_passes(tiers, tell, "no policy of a tier", services=True)


@on("ptp", "flannel")
@pytest.mark.timeout(2 * 3600)
def test_cyclonus_passes_with_a_baseline_that_denies_everything(
    tiers: Cluster, pods: Pods, tell: Callable[[str], None]
) -> None:
    """Nothing is exempt: what no NetworkPolicy allows in a direction is denied, in every test.

    Pods that none selects are then rightly cut off, and Cyclonus would not expect it. It is made to: as if a
    NetworkPolicy that allows nothing selected all pods. So a Baseline that denies what a NetworkPolicy allows
    fails these tests, and so does one that is not asked.
    """
    with denied(tiers, pods):
        assert_cyclonus_passes(tiers, tell, "with a Baseline that denies everything", baseline=True)


def assert_upstream_passes(cluster: Cluster, tell: Callable[[str], None], how: str) -> None:
    start = time.monotonic()
    report = cluster.e2e(FOCUS)
    seconds = time.monotonic() - start
    tell(f"Upstream's tests, {cluster.network}, {how}: {len(report.passed)} of {TESTS} in {seconds:.0f} s")
    assert not report.failed, "\n".join(map(story, report.failed))
    assert len(report.passed) == TESTS


def assert_cyclonus_passes(
    cluster: Cluster,
    tell: Callable[[str], None],
    how: str,
    *,
    services: bool = False,
    baseline: bool = False,
) -> None:
    start = time.monotonic()
    report = cluster.cyclonus(services=services, baseline=baseline)
    seconds = time.monotonic() - start
    found = f"{len(report.passed)} of {CYCLONUS_TESTS} in {seconds:.0f} s"
    tell(f"Cyclonus, {cluster.network}, {how}: {found}")
    assert not report.failed, tables(report)
    assert len(report.passed) == CYCLONUS_TESTS


@contextmanager
def denied(cluster: Cluster, pods: Pods, accepted: list[object] | None = None) -> Iterator[None]:
    """Have a Baseline policy that denies all but these peers; two pods of ours see that it is so."""
    first = [] if accepted is None else [("Accept", accepted, accepted)]
    rules = [*first, ("Deny", [EVERYWHERE], EVERYTHING)]
    baseline = cluster_policy(
        "deny-everything",
        "Baseline",
        EVERYWHERE,
        ingress=[{"action": action, "from": sources} for action, sources, _ in rules],
        egress=[{"action": action, "to": targets} for action, _, targets in rules],
    )
    with Servers() as servers:
        found = pods.start(pods.namespace("ours"), {"asking": Place("n1"), "serving": Place("n2")})
        addresses = found["serving"].addresses
        for address in addresses:
            servers.listen(found["serving"].network, "tcp", address, PORT)
        probes = [Probe(found["asking"].network, address, "tcp", PORT) for address in addresses]

        def reached() -> list[bool]:
            return [outcome.reached for outcome in probe_all(probes, PROBE_SECONDS)]

        assert reached() == [True, True]
        cluster.apply(baseline)
        try:
            wait_until(
                lambda: reached() == [False, False],
                "the Baseline policy is not in force",
                seconds=IN_FORCE_SECONDS,
                check=cluster.check,
            )
            yield
            assert reached() == [False, False]
        finally:
            cluster.delete("clusternetworkpolicy", "deny-everything")
