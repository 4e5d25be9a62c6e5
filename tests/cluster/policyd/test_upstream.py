"""All of upstream's own tests of NetworkPolicy pass: on each network, in both modes of kube-proxy."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.cluster.policyd.installation import Installation
from tests.cluster.policyd.networks import NETWORKS, on
from tests.cluster.policyd.removal import remove
from tests.cluster.policyd.upstream import FOCUS, TESTS, story

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

#: One that passes by luck mostly does not do so three times.
RUNS = [("flannel", 1), ("flannel", 2), ("flannel", 3), ("iptables", 1), ("ptp", 1), ("legacy", 1)]


@pytest.mark.parametrize(
    ("client", "which"),
    [
        pytest.param(dict(NETWORKS[name]), f"{name}, run {number}", id=f"{name}-{number}")
        for name, number in RUNS
    ],
    indirect=["client"],
)
def test_upstreams_own_tests_pass(policyd: Installation, which: str, tell: Callable[[str], None]) -> None:
    assert_all_pass(policyd, which, tell)


@on(*NETWORKS)
def test_they_pass_on_any_network_by_one_manifest(
    automatic: Installation, which: str, tell: Callable[[str], None]
) -> None:
    """Which network it is, and so where pods are judged, policyd finds out by itself."""
    assert_all_pass(automatic, f"{which}, install-auto.yaml", tell)
    assert_enforcing(automatic)


@on("ptp")
def test_they_pass_where_all_pods_are_judged_inside(
    installation: Installation, which: str, tell: Callable[[str], None]
) -> None:
    installation.install_chart(placement="pod")
    try:
        assert_all_pass(installation, f"{which}, placement pod", tell)
        assert_enforcing(installation)
    finally:
        remove(installation)


def assert_enforcing(installation: Installation) -> None:
    for node in installation.cluster.nodes:
        assert "policyd_enforcing 1.0" in installation.ask(node, "/metrics")[1]


def assert_all_pass(installation: Installation, which: str, tell: Callable[[str], None]) -> None:
    start = time.monotonic()
    report = installation.cluster.e2e(FOCUS)
    seconds = time.monotonic() - start
    tell(f"Upstream's tests, {which}: {len(report.passed)} of {TESTS} passed in {seconds:.0f} s")
    assert not report.failed, "\n".join(map(story, report.failed))
    assert len(report.passed) == TESTS
