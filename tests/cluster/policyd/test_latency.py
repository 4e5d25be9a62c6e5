"""How soon a change is in force: the figures, and a bound that holds on a machine with other work."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.cluster.policyd.installation import Installation
from tests.cluster.policyd.latency import SAMPLES, check, opened_subject, table

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


def test_a_change_is_soon_in_force(policyd: Installation, tell: Callable[[str], None]) -> None:
    with opened_subject(policyd.cluster) as subject:
        found = subject.measure(SAMPLES)
    load = f"load {os.getloadavg()[0]:.0f}"
    tell(f"From the API server's answer to the first packet that meets the change, {load}:\n{table(found)}")
    check(found)
