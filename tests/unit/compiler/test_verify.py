"""Invariants of the IR: what breaks one is refused before it becomes rules."""

from __future__ import annotations

from itertools import combinations, permutations

import pytest

from policyd_compiler.errors import CompilerBug
from policyd_compiler.ir import (
    ANYTHING,
    Action,
    Endpoint,
    Host,
    Isolation,
    Origin,
    Rule,
    Snapshot,
    Stage,
    Tier,
)
from policyd_compiler.ports import EVERYTHING
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


def test_a_tier_is_asked_once() -> None:
    for tier in (Tier.ADMIN, Tier.BASELINE):
        with pytest.raises(CompilerBug, match="a tier has one stage"):
            verify(snapshot(tier, tier))


def test_of_several_claimants_only_the_last_accepts() -> None:
    """NP-166: what one accepts, the others would not be asked about."""

    def claimed(first: Action, last: Action) -> Snapshot:
        origins = (Origin("NetworkPolicy", "x", "p"),)
        stages = tuple(
            Stage(Tier.NETWORK_POLICY, (Rule(action, ANYTHING, EVERYTHING, origins),), Action.DENY)
            for action in (first, last)
        )
        return Snapshot("n1", (HOST,), (Endpoint("x/a", HOST, Isolation("ingress", origins, stages), None),))

    verify(claimed(Action.PASS, Action.ACCEPT))
    with pytest.raises(CompilerBug, match="of several claimants"):
        verify(claimed(Action.ACCEPT, Action.ACCEPT))


def test_an_address_has_one_owner() -> None:
    with pytest.raises(CompilerBug, match="two hosts own"):
        verify(Snapshot("n1", (HOST, HOST), ()))


def test_no_tier_opens_what_no_rule_matched() -> None:
    """It would silence the tiers behind it."""
    isolation = Isolation("ingress", (), (Stage(Tier.ADMIN, (), Action.ACCEPT),))
    with pytest.raises(CompilerBug, match="ends in deny or pass"):
        verify(Snapshot("n1", (HOST,), (Endpoint("x/a", HOST, isolation, None),)))
