"""Pods that start one after the other, among packets of a foe to every address: none leaks, none is lost."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import pytest

from tests.agent.asking import ask_root
from tests.cni.bed import Bed, bed, needs_plugins
from tests.cni.crowd import Crowd
from tests.setting import chosen_count

__all__ = ["bed"]
pytestmark = [pytest.mark.kernel, needs_plugins]

#: POLICYD_STARTS=1000 for the whole of it; with `-s` it says how long pods were held (docs/networks.md).
STARTS, A_SECOND = chosen_count("POLICYD_STARTS", 12), 20.0
_WAITS = "policyd_pod_start_wait_seconds_bucket{le="


@pytest.mark.parametrize("placement", ["host", "pod"])
def test_nothing_denied_passes_and_nothing_allowed_is_lost_while_pods_start(bed: Bed, placement: str) -> None:
    bed.install()
    with bed.agent("--cni-cache", str(bed.runtime.results), "--placement", placement):
        found = Crowd(bed).run(STARTS, A_SECOND)
        waits = ask_root("/metrics", bed.run_dir / "policyd.sock")[1].splitlines()
    sys.stdout.write(f"{placement}: held {told(found.held)}; the agent's part: {buckets(waits)}\n")
    assert (found.leaked, found.lost) == ((), ())
    assert len(found.held) >= STARTS


def told(seconds: Sequence[float]) -> str:
    """Quantiles, in milliseconds."""
    ordered = sorted(seconds)
    at = {share: ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.5, 0.9, 0.99, 1.0)}
    return ", ".join(f"{share:.0%} {1000 * value:.1f} ms" for share, value in at.items())


def buckets(lines: Sequence[str]) -> str:
    """How many pods waited so long at most from their question to the leave, as the agent counts them."""
    return ", ".join(line.removeprefix(_WAITS) for line in lines if line.startswith(_WAITS))
