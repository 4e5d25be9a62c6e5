"""All of upstream's own tests of NetworkPolicy pass: on each network, in both modes of kube-proxy."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.cluster.policyd.installation import Installation
from tests.cluster.policyd.upstream import FOCUS, TESTS, story

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

CLUSTERS = {
    "flannel": {"network": "flannel"},
    "iptables": {"network": "flannel", "proxy": "iptables"},
    "ptp": {"network": "ptp"},
    "cilium": {"network": "cilium", "legacy": True},
}
#: One that passes by luck mostly does not do so three times.
RUNS = [("flannel", 1), ("flannel", 2), ("flannel", 3), ("iptables", 1), ("ptp", 1), ("cilium", 1)]


@pytest.mark.parametrize(
    ("client", "which"),
    [pytest.param(CLUSTERS[name], f"{name}, run {number}", id=f"{name}-{number}") for name, number in RUNS],
    indirect=["client"],
)
def test_upstreams_own_tests_pass(policyd: Installation, which: str, tell: Callable[[str], None]) -> None:
    start = time.monotonic()
    report = policyd.cluster.e2e(FOCUS)
    seconds = time.monotonic() - start
    tell(f"Upstream's tests, {which}: {len(report.passed)} of {TESTS} passed in {seconds:.0f} s")
    assert not report.failed, "\n".join(map(story, report.failed))
    assert len(report.passed) == TESTS
