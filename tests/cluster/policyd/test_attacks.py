"""The attacks of tests/attacks on a real cluster with Flannel, policyd as it is installed.

Rows that need nodes with settings of their own are tried in the lab only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.attacks.bed import Bed
from tests.attacks.honest import HONEST, through_service
from tests.attacks.judge import ATTACKS, Judged, comes_without_rules, judge, must_come, open_at
from tests.attacks.lab_bed import policies
from tests.attacks.sources import send_as
from tests.cluster.failures import wait_until
from tests.cluster.policyd.attack_bed import SERVED, opened_bed
from tests.cluster.policyd.installation import Installation
from tests.cluster.policyd.removal import remove

pytestmark = pytest.mark.cluster

#: They want source routes, segments and packets for 127.0.0.1 accepted by the node.
ONLY_IN_THE_LAB = frozenset(
    {
        "a source route by the node",
        "a source route by the node on a live flow",
        "segments by the node",
        "segments by the node on a live flow",
        "the node's loopback",
        "the node's loopback of an isolated pod",
    }
)
#: What Flannel itself lets happen. Of other rows a real node's own filters may stop some.
WAYS_AROUND = (
    "as a friend to an isolated sibling",
    "as a sibling to a sibling",
    "multicast of a pod to an isolated sibling",
    "tagged frames to an isolated sibling",
    "tagged frames of an isolated pod",
    "frames that are not IP of an isolated pod",
    "the address of a sibling taken over",
    "the MAC of a sibling taken over",
    "rogue routers",
    "VXLAN to its own node",
)


@pytest.fixture(scope="module")
def judged(installation: Installation) -> Iterator[Judged]:
    """Give what came through of every row, without policyd and with it."""
    remove(installation)
    cluster = installation.cluster
    with opened_bed(cluster) as (bed, namespace):
        wait_until(lambda: serves(bed), "kube-proxy serves no Service", seconds=60, check=cluster.check)
        before = judge(bed, comes_without_rules, ONLY_IN_THE_LAB)
        installation.install()
        cluster.apply(*policies(namespace))
        wait_until(lambda: enforces(bed), "no policy is in force", seconds=60, check=cluster.check)
        installation.wait_until_quiet()
        bed.heal()
        yield Judged(bed, before, judge(bed, must_come, ONLY_IN_THE_LAB))


def serves(bed: Bed) -> bool:
    """Whether every Service leads to its pod."""
    shots = [
        shot
        for origin in ("f", *SERVED)
        for name in SERVED
        for family in (4, 6)
        for shot in through_service(origin, name)(bed, family)
    ]
    return len(bed.volley(shots)) == len(shots)


def enforces(bed: Bed) -> bool:
    """Whether the three isolated pods are isolated."""
    shots = [
        shot
        for origin, target in (("a", "v"), ("a", "w"), ("e", "s"))
        for family in (4, 6)
        for shot in send_as(origin, origin, target)(bed, family)
    ]
    return not bed.volley(shots)


def test_without_policyd_there_are_ways_around(judged: Judged, tell: Callable[[str], None]) -> None:
    """Else that they are closed would prove nothing."""
    tried = {key: labels for key, labels in judged.before.items() if key[0] in WAYS_AROUND}
    assert {name for name, _ in tried} == set(WAYS_AROUND)
    assert [f"{place} {name}" for (name, place), labels in tried.items() if not any(labels.values())] == []
    rows = {row.name: row for row in ATTACKS}
    stopped = [
        f"{place} {name}"
        for (name, place), labels in judged.before.items()
        if name in rows and not any(labels.values())
    ]
    tell(f"Attacks that the nodes stop without policyd: {', '.join(stopped) or 'none'}")


def test_attacks_are_stopped_on_flannel(judged: Judged) -> None:
    found = [
        f"{place} {row.name}: {label}"
        for row in ATTACKS
        for place in judged.places
        if not must_come(row, place) and not open_at(row, place)
        for label, came in judged.under.get((row.name, place), {}).items()
        if came
    ]
    assert not found, "\n".join(["", *found])


def test_honest_traffic_passes_on_flannel(judged: Judged) -> None:
    found = [
        f"{place} {row.name}: {label}"
        for row in HONEST
        for place in judged.places
        if not open_at(row, place)
        for label, came in judged.under.get((row.name, place), {}).items()
        if not came
    ]
    assert not found, "\n".join(["", *found])
