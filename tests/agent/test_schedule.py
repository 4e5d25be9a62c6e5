"""What is done next, and when: rows of what is remembered, what holds, and what must follow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policyd.agent.pacing import Burst, Pacing, due
from policyd.agent.schedule import Action, Facts, Hunting, Intervals, State, schedule
from policyd.object_store import News

PACING = Pacing(settle=0.1, patience=1.0, rest=0.5, quiet=2.0, small=1.0, look=0.25, linger=0.8)
INTERVALS = Intervals(PACING, verify_every=30.0, sweep_after=0.2, sweep_latest=2.0, hunt=3.0)
#: At 100 a comparison is due, long after anything else here.
IDLE = State(verify_at=100.0)
LEFT = Facts(ruleset=True, leftovers=True)
#: A change came at 10, soon after another; and one after a quiet spell.
BUSY = IDLE._replace(changed=9.0)
CHANGED, URGENT, GONE = (BUSY.told(news, 10.0, PACING) for news in (News.CHANGES, News.STARTS, News.IDLE))
FIRST = IDLE._replace(changed=8.0).told(News.CHANGES, 10.0, PACING)
#: A ruleset came into force at 10 and left something.
SWAPPED = IDLE._replace(ended=10.0, sweep_by=11.5)

CASES: dict[str, tuple[State, Facts, float, Action]] = {
    "nothing happens but that the kernel is compared": (IDLE, Facts(), 100.0, Action.VERIFY),
    "the first change after a quiet spell goes at once": (FIRST, Facts(), 10.0, Action.CONVERGE),
    "so does the first of all": (IDLE.told(News.CHANGES, 10.0, PACING), Facts(), 10.0, Action.CONVERGE),
    "but not where a compilation takes long": (
        IDLE._replace(took=1.1).told(News.CHANGES, 10.0, PACING),
        Facts(),
        10.1,
        Action.CONVERGE,
    ),
    "where it could not go it waits for the next": (
        FIRST.told(News.CHANGES, 10.05, PACING),
        Facts(),
        10.15,
        Action.CONVERGE,
    ),
    "any other change waits until its burst is over": (CHANGED, Facts(), 10.1, Action.CONVERGE),
    "a further change makes it longer": (
        CHANGED.told(News.CHANGES, 10.05, PACING),
        Facts(),
        10.15,
        Action.CONVERGE,
    ),
    "but not for ever": (
        CHANGED._replace(burst=Burst(10.0, 11.09)),
        Facts(),
        11.0,
        Action.CONVERGE,
    ),
    "between two compilations lies a rest": (
        CHANGED._replace(rested=10.4),
        Facts(),
        10.4,
        Action.CONVERGE,
    ),
    "for which a new pod does not wait": (URGENT._replace(rested=12.9), Facts(), 10.0, Action.CONVERGE),
    "what nobody waits for may be more by then": (GONE, Facts(), 10.8, Action.CONVERGE),
    "for a while only": (GONE.told(News.IDLE, 10.7, PACING), Facts(), 10.8, Action.CONVERGE),
    "whatever else comes takes it along": (
        GONE.told(News.CHANGES, 10.2, PACING),
        Facts(),
        10.3,
        Action.CONVERGE,
    ),
    "and is not kept waiting for it": (
        CHANGED.told(News.IDLE, 10.05, PACING),
        Facts(),
        10.1,
        Action.CONVERGE,
    ),
    "leftovers that packets may be in are waited for beside": (
        SWAPPED,
        Facts(ruleset=True, leftovers=True, walked=True),
        101.0,
        Action.VERIFY,
    ),
    "younger leftovers are removed when they are old": (
        SWAPPED.told(News.STARTS, 14.0, PACING).swept(13.9, INTERVALS),
        LEFT,
        14.0,
        Action.CONVERGE,
    ),
    "a new pod waits until its interface has been looked for": (
        URGENT,
        Facts(looking=True),
        10.25,
        Action.CONVERGE,
    ),
    "what is no new pod does not": (CHANGED, Facts(looking=True), 10.1, Action.CONVERGE),
    "what the look found waits for nothing": (
        FIRST._replace(burst=Burst(10.0, 10.0, urgent=True)).told(News.INTERFACES, 10.01, PACING),
        Facts(),
        10.0,
        Action.CONVERGE,
    ),
    "what changes are followed with is made when it is quiet": (
        IDLE._replace(ended=10.0),
        Facts(unprepared=True),
        10.1,
        Action.PREPARE,
    ),
    "but not while some wait": (
        CHANGED._replace(ended=9.95, rested=10.4),
        Facts(unprepared=True),
        10.4,
        Action.CONVERGE,
    ),
    "what failed is not tried before its time": (
        URGENT._replace(retry_at=15.0),
        Facts(),
        15.0,
        Action.CONVERGE,
    ),
    "what is left is removed when nothing changes": (SWAPPED, LEFT, 10.2, Action.SWEEP),
    "and when it is old, though things change": (
        SWAPPED._replace(ended=11.4, burst=Burst(11.45, 11.55)),
        LEFT,
        11.5,
        Action.SWEEP,
    ),
    "a new pod does not wait for that": (
        URGENT._replace(ended=9.95, sweep_by=9.0),
        LEFT,
        10.0,
        Action.CONVERGE,
    ),
    "unless the kernel has grown for too long": (
        URGENT._replace(ended=9.95, sweep_by=7.9),
        LEFT,
        9.9,
        Action.SWEEP,
    ),
    "to remove it is not tried again before its time": (
        SWAPPED._replace(retry_at=15.0),
        LEFT,
        15.0,
        Action.SWEEP,
    ),
    "it is removed before the kernel is compared": (
        SWAPPED._replace(verify_at=9.0),
        LEFT,
        9.0,
        Action.SWEEP,
    ),
    "a suspicion does not wait for that": (
        SWAPPED._replace(verify_at=10.1),
        LEFT._replace(tampered=True),
        10.1,
        Action.VERIFY,
    ),
    "an edited policy is tried when it was closed for long enough": (
        IDLE,
        Facts(release_at=50.0),
        50.0,
        Action.RELEASE,
    ),
    "the culprit is looked for at once": (
        IDLE.hunting(),
        Facts(hunting=Hunting(10.0, enough=False)),
        float("-inf"),
        Action.SEARCH,
    ),
    "changes wait while nothing is known that helps": (
        CHANGED._replace(searched=90.0),
        Facts(ruleset=True, hunting=Hunting(9.0, enough=False)),
        90.0,
        Action.SEARCH,
    ),
    "and for a while after that": (
        CHANGED._replace(searched=90.0),
        Facts(ruleset=True, hunting=Hunting(9.0, enough=True)),
        12.0,
        Action.CONVERGE,
    ),
    "but not where nothing is in force": (
        CHANGED._replace(searched=90.0),
        Facts(hunting=Hunting(9.0, enough=True)),
        10.1,
        Action.CONVERGE,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_done_next(name: str) -> None:
    state, facts, at, action = CASES[name]
    found = schedule(state, facts, INTERVALS)
    assert found.action is action
    assert found.at == pytest.approx(at)


def test_a_rest_is_as_long_as_what_it_follows() -> None:
    """So that at most half of the time goes into compiling."""
    short, long = (IDLE.converged(Burst(9.0, 9.1), 10.0, now, PACING) for now in (10.1, 13.0))
    assert short.rested == pytest.approx(10.6)
    assert long.rested == 16.0
    assert long.attempted(20.0, PACING).rested == 23.0  # a failure says nothing of how long it takes


def test_leftovers_are_as_old_as_the_first_of_them() -> None:
    first = IDLE.converging(10.0, INTERVALS, leftovers=False)
    assert (first.sweep_by, first.converging(11.0, INTERVALS, leftovers=True).sweep_by) == (12.0, 12.0)


def test_a_suspicion_is_followed_at_once_but_for_the_pause_after_a_failure() -> None:
    assert IDLE.tampered(10.0).verify_at == 10.0
    assert IDLE.failed(10.0, pause=5.0).tampered(11.0).verify_at == 15.0
    assert IDLE.tampered(200.0).verify_at == 100.0  # it was due already


@given(
    took=st.floats(0.001, 0.2),
    gaps=st.lists(st.sampled_from([0.0, 0.001, 0.004, 0.006, 0.03, 0.09, 0.11, 0.5]), max_size=200),
)
def test_whatever_comes_when_no_change_waits_long_and_half_of_the_time_is_left(
    took: float, gaps: list[float]
) -> None:
    pacing, now, waited = Pacing(), 1000.0, []
    state = State(verify_at=1e9)
    spent, began, changes = 0.0, now, [now := now + gap for gap in gaps]
    now = began
    while changes or state.burst is not None:
        at = due(state.burst, pacing, state.rested) if state.burst is not None else changes[0]
        if changes and changes[0] <= max(at, now):
            state = state.told(News.CHANGES, now := max(now, changes.pop(0)), pacing)
        elif state.burst is not None:
            burst, now = state.burst, max(now, at)
            waited.append(now - burst.first)
            state = state.converging(now, INTERVALS, leftovers=False)
            state = state.converged(burst, now, now + took, pacing)
            spent, now = spent + took, now + took
    assert max(waited, default=0.0) <= pacing.patience + pacing.rest + 2 * took + 1e-6
    assert spent <= (now - began) / 2 + 2 * took + 1e-6


def test_what_follows_the_first_change_needs_no_rest_but_what_follows_that() -> None:
    """Else a Namespace that goes alone would hold up its pods; the rest is made up for."""
    first = IDLE.converged(Burst(10.0, 10.0), 10.0, 10.4, PACING)
    second = first.converged(Burst(10.1, 10.3), 10.4, 11.0, PACING)
    third = second.converged(Burst(11.1, 11.3), 12.0, 12.1, PACING)
    assert first.rested == 10.4
    assert second.rested == pytest.approx(11.0 + 0.4 + 0.6)
    assert third.rested == pytest.approx(12.6)


TIMES = st.floats(0.0, 100.0)
BURSTS = st.none() | st.builds(Burst, TIMES, TIMES, st.booleans(), st.booleans())
STATES = st.builds(
    State,
    TIMES,
    BURSTS,
    changed=TIMES,
    ended=TIMES,
    rested=TIMES,
    searched=TIMES,
    retry_at=TIMES,
    sweep_by=TIMES,
)
FACTS = st.builds(
    Facts,
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.none() | st.builds(Hunting, TIMES, st.booleans()),
    st.none() | TIMES,
    st.booleans(),
    st.booleans(),
    st.booleans(),
)


@given(STATES, FACTS)
def test_there_is_always_something_to_do_that_makes_sense(state: State, facts: Facts) -> None:
    """Nothing else would wake the loop: without this, what is lost stays so."""
    at, action = schedule(state, facts, INTERVALS)
    assert at <= max(100.0 + INTERVALS.sweep_latest, state.verify_at + 1.0, state.retry_at)
    match action:
        case Action.CONVERGE:
            assert state.burst is not None
            assert at >= state.retry_at
        case Action.SEARCH:
            assert facts.hunting is not None
            assert at >= state.retry_at
        case Action.PREPARE:
            assert facts.unprepared
            assert state.burst is None
        case Action.SWEEP:
            assert facts.leftovers
            assert at >= state.retry_at
        case Action.RELEASE:
            assert at == facts.release_at
        case Action.VERIFY:
            assert at == state.verify_at + (1.0 if facts.walked and not facts.tampered else 0.0)
