"""Cyclonus' tests of NetworkPolicy pass on each network, by one manifest that finds out which it is."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.cluster.policyd.installation import Installation
from tests.cluster.policyd.networks import BESIDE, NETWORKS, on
from tests.cluster.policyd.upstream import CYCLONUS_SCTP_TESTS, CYCLONUS_TESTS, tables

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(2 * 3600)]


@on(*NETWORKS)
def test_cyclonus_passes_on_any_network(
    automatic: Installation, which: str, tell: Callable[[str], None]
) -> None:
    """Those of SCTP but on Cilium: this kernel does not load the programs that would carry it."""
    start, sctp = time.monotonic(), which not in BESIDE
    wanted = CYCLONUS_TESTS if sctp else CYCLONUS_TESTS - CYCLONUS_SCTP_TESTS
    report = automatic.cluster.cyclonus(sctp=sctp)
    seconds = time.monotonic() - start
    found = f"{len(report.passed)} of {wanted} in {seconds:.0f} s"
    tell(f"Cyclonus, {which}, install-auto.yaml: {found}")
    assert not report.failed, tables(report)
    assert len(report.passed) == wanted
