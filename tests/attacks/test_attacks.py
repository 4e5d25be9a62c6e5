"""Attacks from pods, the outside and other nodes, on a routed and a bridged bed under policyd's real agents.

Each is first tried without rules, where it must come through: so an absence means a verdict. What comes
through all the same is a row of docs/security.md. `open_rows.py` lists what does not hold yet.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tests.attacks import groups, honest, link, protocols, sources, underlay
from tests.attacks.attack import Row
from tests.attacks.judge import ATTACKS, HONEST, Judged, comes_without_rules, must_come, open_at

pytestmark = pytest.mark.kernel


def check(judged: Judged, rows: Iterable[Row]) -> None:
    """Fail with the shots that did what they should not, or did not what they should, but for OPEN's.

    A row of OPEN that holds fails, too.
    """
    found = []
    for row in rows:
        for place in judged.places:
            if place in row.at.split():
                expected = must_come(row, place)
                seen = judged.under[row.name, place]
                shots = sorted(label for label, came in seen.items() if came is not expected)
                if open_at(row, place):
                    shots = [] if shots else ["holds, and is in OPEN"]
                found += [f"{place} {row.name}: {label}" for label in shots]
    assert not found, lines(found)


def lines(found: list[str]) -> str:
    return "\n".join(["", *found])


def test_nothing_but_rules_stops_an_attack_here(judged: Judged) -> None:
    """Where the kernel stops it by itself, the row says so."""
    rows: tuple[Row, ...] = (*ATTACKS, *HONEST)
    found = [
        f"{place} {row.name}: {label}"
        for row in rows
        for place in judged.places
        if place in row.at.split()
        for label, came in judged.before[row.name, place].items()
        if came is not comes_without_rules(row, place)
    ]
    assert not found, lines(found)


def test_what_a_pod_without_capabilities_can_do(judged: Judged) -> None:
    """Ordinary sockets, and packets that need none."""
    check(judged, (row for row in ATTACKS if row.who == "pod"))


def test_a_packet_has_the_source_of_its_sender(judged: Judged) -> None:
    check(judged, sources.ATTACKS)


def test_policies_are_not_misled_by_what_is_in_a_packet(judged: Judged) -> None:
    check(judged, protocols.ATTACKS)


def test_multicast_and_broadcast_are_judged_for_each_receiver(judged: Judged) -> None:
    check(judged, groups.ATTACKS)


def test_on_the_link_are_only_ip_arp_and_ones_own_addresses(judged: Judged) -> None:
    check(judged, link.ATTACKS)


def test_the_nodes_tunnels_and_loopback_are_closed_to_pods(judged: Judged) -> None:
    check(judged, underlay.ATTACKS)


def test_honest_traffic_passes(judged: Judged) -> None:
    check(judged, honest.HONEST)
