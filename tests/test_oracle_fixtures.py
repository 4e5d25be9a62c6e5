"""The oracle against verdicts written down by others, and by hand from the rules."""

from __future__ import annotations

import pytest

from tests.conformance import conformance_cases
from tests.oracle import Oracle
from tests.worlds import Case, recorded_cases, unreal_cases, upstream_cases, written_cases

CASES = (*recorded_cases(), *upstream_cases(), *conformance_cases(), *written_cases(), *unreal_cases())


def disagreements(case: Case) -> list[str]:
    """List the probes, cluster-wide and node by node, on which the oracle has another opinion."""
    oracle = Oracle(case.objects, live=case.live)
    found = []
    for probe in case.probes:
        expected = "ALLOW" if probe.allowed else "DENY"
        if oracle.verdict(probe.connection) != probe.allowed:
            found.append(f"{probe.text}: expected {expected}, got {oracle.explain(probe.connection)}")
        if all(oracle.node_verdict(probe.connection, node) for node in probe.nodes) != probe.allowed:
            opinions = [oracle.explain(probe.connection, node) for node in probe.nodes]
            found.append(f"{probe.text}: expected {expected} from {probe.nodes}, got {opinions}")
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_oracle_agrees_with_every_verdict(case: Case) -> None:
    assert disagreements(case) == []


def test_no_recorded_case_is_left_out() -> None:
    counts = [sum(len(case.probes) for case in cases) for cases in (recorded_cases(), upstream_cases())]
    assert len(recorded_cases()) == 74
    assert len(upstream_cases()) == 65 * 2
    assert len({case.id.partition(".")[0] for case in conformance_cases()}) == 14
    assert min(counts) > 250
