"""How soon a change is in force: the figures, and a bound that holds on a machine with other work."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.policyd.installation import Installation
from tests.cluster.policyd.latency import (
    Cycle,
    changes,
    check,
    measured_idle,
    opened_subject,
    table,
    tier_changes,
)
from tests.setting import chosen_count

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

SAMPLES = chosen_count("POLICYD_SAMPLES", 200)


def test_a_change_is_soon_in_force(policyd: Installation, tell: Callable[[str], None]) -> None:
    measure(policyd.cluster, changes, tell)


def test_a_change_of_an_administrator_is_soon_in_force(tiers: Cluster, tell: Callable[[str], None]) -> None:
    measure(tiers, tier_changes, tell)


def measure(cluster: Cluster, cycle: Cycle, tell: Callable[[str], None]) -> None:
    with opened_subject(cluster, cycle) as subject, measured_idle() as idle:
        found = subject.measure(SAMPLES)
    tell(
        f"From the API server's answer to the first packet that meets the change, processors idle for "
        f"{idle():.0%} of the time:\n{table(found)}"
    )
    check(found, idle())
