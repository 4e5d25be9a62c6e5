"""The measurement of TCP connects through the rules that it compares, in real namespaces."""

from __future__ import annotations

from functools import partial

import pytest

from bench import datapath, tcp

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("way", [partial(tcp.connects, count=3), partial(tcp.bulk, size=1 << 20)])
def test_connections_go_through_both_rulesets(way: tcp.Round, family: datapath.Family) -> None:
    alone, judged = tcp.measure(way, 3, family, rounds=2)
    assert len(alone) == len(judged) == 1
    assert min(*alone, *judged) > 0


def test_what_policies_deny_is_no_measurement() -> None:
    """A port that is nobody's: connection tracking alone lets it through, the policies do not."""
    opened = []

    def way(ends: tcp.Ends) -> float:
        with ends.inside():
            for end in ends.connect():
                end.close()
        opened.append(ends)
        return 1.0

    with pytest.raises(TimeoutError):
        tcp.measure(way, 3, 4, rounds=1, port=999)
    assert len(opened) == 1
