"""How soon a change is in force: the figures, and a bound that holds on a machine with other work."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.cluster.policyd.installation import Installation
from tests.cluster.policyd.latency import check, measured_idle, opened_subject, table
from tests.setting import chosen_count

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

SAMPLES = chosen_count("POLICYD_SAMPLES", 200)


def test_a_change_is_soon_in_force(policyd: Installation, tell: Callable[[str], None]) -> None:
    with opened_subject(policyd.cluster) as subject, measured_idle() as idle:
        found = subject.measure(SAMPLES)
    tell(
        f"From the API server's answer to the first packet that meets the change, processors idle for "
        f"{idle():.0%} of the time:\n{table(found)}"
    )
    check(found, idle())
