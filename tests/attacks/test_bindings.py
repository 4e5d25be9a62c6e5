"""What holds without settings: without libcni's results, and without `pod_interfaces`.

Where libcni keeps no results, routes and the pods' own ends of their links say which interface is whose.
Those ends are what a pod with NET_ADMIN can change: it gains nothing by it, and its siblings lose nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.attacks import link
from tests.attacks.attack import Row, Shots, places
from tests.attacks.bed import Bed, Wiring
from tests.attacks.enforcing import enforced
from tests.attacks.honest import HONEST as HONEST_ROWS
from tests.attacks.judge import ATTACKS, by_label, judge, must_come
from tests.attacks.lab_bed import addresses_of, open_bed
from tests.attacks.link import together
from tests.attacks.sources import send_as

pytestmark = pytest.mark.kernel

FORGED = together(
    send_as("a", "f", "v"), send_as("a", "v", "outside", "s"), send_as("e", "f", "outside", "s", "n1")
)
TAGGED = together(link.tags("a", "v", *link.TAGS), link.tags("e", "s", *link.TAGS))
HONEST = together(
    send_as("a", "a", "s", "outside", "n1"),
    send_as("f", "f", "v", "w"),
    send_as("v", "v", "s", "outside"),
    send_as("r", "r", "v"),
)


def came(bed: Bed, tries: Shots) -> dict[str, bool]:
    shots = [shot for family in (4, 6) for shot in tries(bed, family)]
    return dict(by_label(shots, bed.volley(shots, [] if tries is not HONEST else [s.mark for s in shots])))


def through(bed: Bed, tries: Iterable[Shots]) -> set[str]:
    return {label for shots in tries for label, arrived in came(bed, shots).items() if arrived}


def lost(bed: Bed, tries: Shots) -> set[str]:
    return {label for label, arrived in came(bed, tries).items() if not arrived}


@pytest.mark.parametrize("greedy", [False, True], ids=["honest pods", "a pod that takes its siblings' names"])
@pytest.mark.parametrize("wiring", ["routed", "bridged"])
def test_without_results_a_pod_is_known_by_its_link(
    wiring: Wiring, greedy: bool, nothing_left: None, tmp_path: Path
) -> None:
    with open_bed(wiring) as bed:
        assert lost(bed, HONEST) == set()
        if greedy:
            # Next to its own, and from before the agents start: they have no memory of how it was.
            taken = [
                f"address add {address}/{128 if ':' in address else 32} dev eth0 {'nodad' * (':' in address)}"
                for name in ("v", "f")
                for address in addresses_of(name)
            ]
            bed.place("a").ip(taken)
        attacks = [FORGED, *([TAGGED] if wiring == "bridged" else [])]
        assert through(bed, attacks) != set()
        bed.heal()
        with enforced(bed, tmp_path, results=False):
            bed.heal()
            assert through(bed, attacks) == set()
            assert lost(bed, HONEST) == set()


#: Without `pod_interfaces` nothing asks where a packet ends that the node turns around (decision 4).
OPEN_THEN = {
    "r4 a source route by the node",
    "b4 a source route by the node",
}


@pytest.mark.parametrize("wiring", ["routed", "bridged"])
def test_known_pods_are_bound_without_naming_their_interfaces(
    wiring: Wiring, nothing_left: None, tmp_path: Path
) -> None:
    with open_bed(wiring) as bed, enforced(bed, tmp_path, closed=False):
        bed.heal()
        seen = judge(bed, must_come)
        rows: tuple[Row, ...] = (*ATTACKS, *HONEST_ROWS)
        wrong = {
            f"{place} {row.name}"
            for row in rows
            for place, _ in places(wiring)
            for came in seen.get((row.name, place), {}).values()
            if came is not must_come(row, place)
        }
        assert {name for name in OPEN_THEN if name.startswith(wiring[0])} == wrong
