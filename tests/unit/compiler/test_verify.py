"""Invariants of the IR: what breaks one is refused before it becomes rules."""

from __future__ import annotations

from itertools import combinations, permutations

import pytest

from policyd_compiler.errors import CompilerBug
from policyd_compiler.ir import (
    Action,
    Endpoint,
    Host,
    Isolation,
    Origin,
    Snapshot,
    Stage,
    Tier,
)
from policyd_compiler.verify import verify

HOST = Host(10 << 24, None)


def snapshot(*tiers: Tier) -> Snapshot:
    """One pod whose ingress is judged by these tiers."""
    stages = tuple(Stage(tier, (), Action.PASS) for tier in tiers)
    isolation = Isolation("ingress", (Origin("NetworkPolicy", "x", "p"),), stages)
    return Snapshot("n1", (HOST,), (Endpoint("x/a", HOST, isolation, None),))


def test_tiers_are_asked_in_their_order() -> None:
    """Admin, NetworkPolicy, Baseline (semantics, section 0): any may be missing, none may go ahead."""
    order = (Tier.ADMIN, Tier.NETWORK_POLICY, Tier.BASELINE)
    for count in (1, 2, 3):
        good = set(combinations(order, count))
        for tiers in permutations(order, count):
            if tiers in good:
                verify(snapshot(*tiers))
                continue
            with pytest.raises(CompilerBug, match="order of the tiers"):
                verify(snapshot(*tiers))


@pytest.mark.parametrize("tier", Tier)
def test_a_tier_is_asked_once(tier: Tier) -> None:
    with pytest.raises(CompilerBug, match="order of the tiers"):
        verify(snapshot(tier, tier))


def test_claimants_are_asked_one_after_the_other() -> None:
    """NP-166: each has stages of its own, and what one is allowed goes on to the next."""

    def claimed(*claimants: int) -> Snapshot:
        stages = tuple(Stage(Tier.NETWORK_POLICY, (), Action.DENY, claimant) for claimant in claimants)
        isolation = Isolation("ingress", (Origin("NetworkPolicy", "x", "p"),), stages)
        return Snapshot("n1", (HOST,), (Endpoint("x/a", HOST, isolation, None),))

    verify(claimed(0, 1, 2))
    for wrong in ((0, 0), (1, 0)):
        with pytest.raises(CompilerBug, match="claimant by claimant"):
            verify(claimed(*wrong))


def test_an_address_has_one_owner() -> None:
    with pytest.raises(CompilerBug, match="two hosts own"):
        verify(Snapshot("n1", (HOST, HOST), ()))


def test_no_tier_opens_what_no_rule_matched() -> None:
    """It would silence the tiers behind it."""
    isolation = Isolation("ingress", (), (Stage(Tier.ADMIN, (), Action.ACCEPT),))
    with pytest.raises(CompilerBug, match="ends in deny or pass"):
        verify(Snapshot("n1", (HOST,), (Endpoint("x/a", HOST, isolation, None),)))
