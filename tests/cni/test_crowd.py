"""Pods that start one after the other, among packets of a foe to every address: none leaks, none is lost."""

from __future__ import annotations

import os

import pytest

from tests.cni.bed import Bed, bed, needs_plugins
from tests.cni.crowd import Crowd

__all__ = ["bed"]
pytestmark = [pytest.mark.kernel, needs_plugins]

#: POLICYD_STARTS=1000 for the whole of it.
STARTS, A_SECOND = int(os.environ.get("POLICYD_STARTS", "12")), 20.0


def test_nothing_denied_passes_and_nothing_allowed_is_lost_while_pods_start(
    bed: Bed,
) -> None:
    bed.install()
    with bed.agent("--cni-cache", str(bed.runtime.results)):
        found = Crowd(bed).run(STARTS, A_SECOND)
    assert (found.leaked, found.lost) == ((), ())
    assert len(found.held) >= STARTS
