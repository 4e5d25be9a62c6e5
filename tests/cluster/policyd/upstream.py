"""Upstream's own tests of NetworkPolicy, and Cyclonus': which they are, and what a failed one tells."""

from __future__ import annotations

from tests.cluster.cyclonus import CyclonusReport
from tests.cluster.e2e import E2eFailure

FOCUS = "Netpol.*Feature:NetworkPolicy"
#: Those of the version that is built, without those that open SCTP sockets.
TESTS = 46
CYCLONUS_TESTS, CYCLONUS_SCTP_TESTS = 230, 14
#: What a failed test says at its end: the connections that were tried, what was expected, what was seen.
LOG_LINES = 400


def story(failure: E2eFailure) -> str:
    """Tell what a failed test saw."""
    return "\n".join((failure.test, failure.message, *failure.log.splitlines()[-LOG_LINES:]))


def tables(report: CyclonusReport) -> str:
    """Tell what Cyclonus' failed tests saw."""
    parts = report.output.split("evaluating test case: ")[1:]
    return "\n".join(part for part in parts if part.partition("\n")[0] in report.failed)
