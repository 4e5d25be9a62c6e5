"""The metrics that are more than a number somebody sets."""

from __future__ import annotations

from policyd.obs.metrics import Metrics


def test_ends_of_watches_are_counted_from_what_each_kind_says_so_far() -> None:
    metrics = Metrics()
    for pods in ({"ended": 1}, {"ended": 1}, {"ended": 3, "silent": 1}):
        metrics.count_restarts("Pod", pods.items())
    metrics.count_restarts("Node", {"ended": 2}.items())
    told = metrics.render().decode()
    assert 'policyd_watch_restarts_total{kind="Pod",reason="ended"} 3.0' in told
    assert 'policyd_watch_restarts_total{kind="Pod",reason="silent"} 1.0' in told
    assert 'policyd_watch_restarts_total{kind="Node",reason="ended"} 2.0' in told
