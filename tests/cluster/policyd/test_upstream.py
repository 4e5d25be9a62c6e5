"""All of upstream's own tests of NetworkPolicy pass: on each network, in both modes of kube-proxy."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.cluster.policyd.installation import Installation
from tests.cluster.policyd.removal import remove
from tests.cluster.policyd.upstream import FOCUS, TESTS, story

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

CLUSTERS = {
    "flannel": {"network": "flannel"},
    "iptables": {"network": "flannel", "proxy": "iptables"},
    "ptp": {"network": "ptp"},
    "cilium": {"network": "cilium", "legacy": True},
    "redirected": {"network": "cilium"},  # by eBPF, past the node's own stack
}
#: One that passes by luck mostly does not do so three times.
RUNS = [("flannel", 1), ("flannel", 2), ("flannel", 3), ("iptables", 1), ("ptp", 1), ("cilium", 1)]


#: With what is set: where pods are judged in their own namespaces as well, because of the network or all.
PLACED = [("ptp", "auto"), ("flannel", "auto"), ("redirected", "auto"), ("ptp", "pod")]


@pytest.mark.parametrize(
    ("client", "which"),
    [pytest.param(CLUSTERS[name], f"{name}, run {number}", id=f"{name}-{number}") for name, number in RUNS],
    indirect=["client"],
)
def test_upstreams_own_tests_pass(policyd: Installation, which: str, tell: Callable[[str], None]) -> None:
    assert_all_pass(policyd, which, tell)


@pytest.mark.parametrize(
    ("client", "placement"),
    [pytest.param(CLUSTERS[name], placement, id=f"{name}-{placement}") for name, placement in PLACED],
    indirect=["client"],
)
def test_they_pass_where_pods_are_judged_inside(
    installation: Installation, placement: str, tell: Callable[[str], None]
) -> None:
    """As the network asks for it, or all pods: which network it is, policyd finds out by itself."""
    installation.install_chart(placement=placement)
    try:
        assert_all_pass(installation, f"{installation.cluster.network}, placement {placement}", tell)
        for node in installation.cluster.nodes:
            assert "policyd_enforcing 1.0" in installation.ask(node, "/metrics")[1]
    finally:
        remove(installation)


def assert_all_pass(installation: Installation, which: str, tell: Callable[[str], None]) -> None:
    start = time.monotonic()
    report = installation.cluster.e2e(FOCUS)
    seconds = time.monotonic() - start
    tell(f"Upstream's tests, {which}: {len(report.passed)} of {TESTS} passed in {seconds:.0f} s")
    assert not report.failed, "\n".join(map(story, report.failed))
    assert len(report.passed) == TESTS
