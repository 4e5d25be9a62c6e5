"""What the loop does next, and when: a function of what it remembers and of what holds around it. Pure.

Times are seconds of one monotonic clock. `State` is what the loop remembers: each of its methods says what
has happened, and gives the state after that. What is to be done is due from some moment on, whatever the time
is now: so the caller looks at the clock. The loop asks whenever it is woken, so what changes that
often is a NamedTuple, of which a changed copy takes a third of the time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from operator import itemgetter
from typing import NamedTuple, Protocol, assert_never

from policyd.agent.pacing import Burst, Pacing, arrival, due, merge
from policyd.object_store import News

_NEVER = float("-inf")
#: A comparison waits for packets that may be in leftovers, and for what is removed then, for so long at most.
_WALK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Intervals:
    """Seconds. `sweep_after`: how long nothing must have changed before leftovers are removed.

    `sweep_latest`: how old leftovers become at most, as under changes without end there is no such time.
    `retry_least`: the least pause after a failure. `prepare_after`: how long after a compilation what changes
    are followed with is made, if none came by then. `hunt`: how long changes wait until the culprits
    are found, before they are brought into force with the candidates closed.
    """

    pacing: Pacing = field(default_factory=Pacing)
    verify_every: float = 30.0
    sweep_after: float = 0.2
    sweep_latest: float = 2.0
    retry_least: float = 0.2
    prepare_after: float = 0.1
    hunt: float = 1.0


class TamperMonitor(Protocol):
    """Who notices that somebody else may have written into the table: TableMonitor."""

    tampered: bool


class Action(Enum):
    """What the loop can do."""

    CONVERGE = auto()  #: compile the cluster as it is, and bring it into force
    SEARCH = auto()  #: try once more without some of the candidates
    SWEEP = auto()  #: remove what earlier rulesets left
    VERIFY = auto()  #: compare the kernel with what was applied
    PREPARE = auto()  #: make what changes are followed with
    RELEASE = auto()  #: try policies again that were edited while they were closed


class Due(NamedTuple):
    """An action, and when it is due."""

    at: float
    action: Action


@dataclass(frozen=True, slots=True)
class Hunting:
    """A hunt for the culprit policies: when it began, and whether policies are known that are enough."""

    began: float
    enough: bool


class Facts(NamedTuple):
    """What holds around the loop: whether the kernel holds a ruleset, and leftovers; whether somebody else
    may have written into the table; the hunt, if one is under way; when the next edited policy was closed
    for long enough, if one is; whether interfaces of this node's pods are being looked for; whether what
    changes are followed with is still to be made; whether leftovers wait for packets that may be in them.
    """

    ruleset: bool = False
    leftovers: bool = False
    tampered: bool = False
    hunting: Hunting | None = None
    release_at: float | None = None
    looking: bool = False
    unprepared: bool = False
    walked: bool = False


class State(NamedTuple):
    """What the loop remembers: `burst`, the changes that are not in force yet; all else is times.

    `changed`: the last change. `took`: how long the last success took; `owed`: for how much of that there
    has been no rest. `ended`: the last attempt to bring something into force; `rested`: when there will have
    been rest enough after it. `searched`: the last attempt of a hunt.
    `retry_at`: before that nothing is tried again. `sweep_by`: leftovers are removed by then. `verify_at`:
    the kernel is compared then.
    """

    verify_at: float
    burst: Burst | None = None
    changed: float = _NEVER
    took: float = 0.0
    owed: float = 0.0
    ended: float = _NEVER
    rested: float = _NEVER
    searched: float = _NEVER
    retry_at: float = _NEVER
    sweep_by: float = _NEVER

    def told(self, news: News, now: float, pacing: Pacing) -> State:
        """The store has said something, or nothing."""
        match news:
            case News.NOTHING:
                return self
            case News.IDLE:
                return self._idled(now, pacing)
            case News.INTERFACES:
                return self._looked(now)
            case News.CHANGES | News.STARTS:
                return self._heard(now, pacing, urgent=news is News.STARTS)
            case _:
                assert_never(news)

    def _heard(self, now: float, pacing: Pacing, *, urgent: bool) -> State:
        """Objects have changed; `urgent`: a new pod of this node is among them."""
        burst = arrival(now, pacing, self.changed, self.took, urgent=urgent)
        return self._replace(burst=merge(self.burst, burst), changed=now)

    def _looked(self, now: float) -> State:
        """Interfaces became known: nothing belongs to that but the pods that came before."""
        return self._replace(burst=merge(self.burst, Burst(now, now)))

    def _idled(self, now: float, pacing: Pacing) -> State:
        """Nobody waits for what changed, and whatever comes takes it along."""
        return self._replace(burst=merge(self.burst, Burst(now, now + pacing.linger, idle=True)))

    def waiting(self, burst: Burst) -> State:
        """These changes, too, are to be brought into force."""
        return self._replace(burst=merge(self.burst, burst))

    def tampered(self, now: float) -> State:
        """Somebody else may have written into the table: it is compared as soon as it may be."""
        return self._replace(verify_at=min(self.verify_at, max(now, self.retry_at)))

    def converging(self, now: float, intervals: Intervals, *, leftovers: bool) -> State:
        """What waits is compiled now; `leftovers`: whether there are some of earlier rulesets already."""
        sweep_by = self.sweep_by if leftovers else now + intervals.sweep_latest
        return self._replace(burst=None, sweep_by=sweep_by)

    def converged(self, burst: Burst, began: float, now: float, pacing: Pacing) -> State:
        """It is in force, and was `began` then.

        Where the first change of a burst went alone, the others follow without a rest: it is made up for
        after them.
        """
        took = now - began
        alone = not burst.waits
        rested = now if alone else now + max(pacing.rest, took + self.owed)
        owed = took if alone else 0.0
        return self._replace(took=took, owed=owed, ended=now, rested=rested, retry_at=_NEVER)

    def attempted(self, now: float, pacing: Pacing) -> State:
        """An attempt to bring something into force is over."""
        return self._replace(ended=now, rested=now + max(pacing.rest, self.took))

    def failed(self, now: float, pause: float) -> State:
        """Something failed that is to be tried again, after a pause."""
        return self._replace(retry_at=now + pause)

    def hunting(self) -> State:
        """The culprits are looked for, at once."""
        return self._replace(retry_at=_NEVER)

    def tried(self, now: float) -> State:
        """An attempt of the hunt is over."""
        return self._replace(searched=now)

    def swept(self, now: float, intervals: Intervals) -> State:
        """Leftovers were removed; there may be others by now, which are younger."""
        return self._replace(sweep_by=now + intervals.sweep_latest)

    def verifying(self, now: float, intervals: Intervals) -> State:
        """The kernel is compared now."""
        return self._replace(verify_at=now + intervals.verify_every)

    def unverified(self) -> State:
        """It could not be compared: again as soon as anything is tried again."""
        return self._replace(verify_at=self.retry_at)


def schedule(state: State, facts: Facts, intervals: Intervals) -> Due:
    """What is to be done next, and from when on. Of several that are due it is what was due first."""
    times = (
        (_search_at(state, facts), Action.SEARCH),
        (_converge_at(state, facts, intervals), Action.CONVERGE),
        (_sweep_at(state, facts, intervals), Action.SWEEP),
        # What is left may be many times the ruleset: it is swept before the kernel is compared with it.
        (_verify_at(state, facts), Action.VERIFY),
        (_prepare_at(state, facts, intervals), Action.PREPARE),
        (facts.release_at, Action.RELEASE),
    )
    return min([Due(at, action) for at, action in times if at is not None], key=itemgetter(0))


def _search_at(state: State, facts: Facts) -> float | None:
    return None if facts.hunting is None else max(state.searched, state.retry_at)


def _converge_at(state: State, facts: Facts, intervals: Intervals) -> float | None:
    hunting = facts.hunting
    if state.burst is None or (hunting is not None and not hunting.enough):
        return None
    at = due(state.burst, intervals.pacing, state.rested)
    if facts.looking and state.burst.urgent:
        at = max(at, state.burst.first + intervals.pacing.look)
    if hunting is not None and facts.ruleset:
        at = max(at, hunting.began + intervals.hunt)
    return max(at, state.retry_at)


def _verify_at(state: State, facts: Facts) -> float | None:
    if facts.walked and not facts.tampered:
        return state.verify_at + _WALK_SECONDS
    return state.verify_at if facts.tampered or not facts.leftovers else None


def _prepare_at(state: State, facts: Facts, intervals: Intervals) -> float | None:
    return state.ended + intervals.prepare_after if facts.unprepared and state.burst is None else None


def _sweep_at(state: State, facts: Facts, intervals: Intervals) -> float | None:
    if not facts.leftovers or facts.walked:
        return None
    at = min(state.ended + intervals.sweep_after, state.sweep_by)
    if state.burst is not None and state.burst.urgent:  # a new pod waits
        at = max(at, state.sweep_by + intervals.sweep_latest)
    # If there are no candidates, the comparison waits for it.
    return max(at if facts.tampered else min(at, state.verify_at), state.retry_at)
