"""When to compile after a change: at once after a quiet spell, not for each event of a burst, never without
a rest. Pure.

Times are seconds of one monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Pacing:
    """`quiet`: after so long without a change the next goes at once. `settle`: how long all others wait for
    what belongs to them. `patience`: the longest that a change waits so for its burst to end. `rest`: the
    least time between two compilations, unless a new pod waits; it is stretched to the length of the last
    one, so that at most half of the time goes into compiling.

    `look`: how long a new pod of this node waits until its interface has been looked for, as another ruleset
    would have to follow at once.

    `linger`: how long that waits for which nobody does: each pod that has gone would cost a swap, and one
    that starts meanwhile would wait for it.

    `small`: where a compilation takes longer, the first change, too, waits for others: the pause is little
    next to it, and what came a moment later would wait for two of them.
    """

    settle: float = 0.005
    patience: float = 0.05
    rest: float = 0.02
    quiet: float = 0.1
    small: float = 0.05
    look: float = 0.03
    linger: float = 0.1


class Burst(NamedTuple):
    """Changes that have not been compiled: when the first came, and from when on they count as all.

    `urgent`: a new pod of this node is among them, which is closed until it is compiled. `idle`: nobody
    waits for them, as they are but pods of this node that have gone, or have no address yet.
    """

    first: float
    over: float
    urgent: bool = False
    idle: bool = False

    @property
    def waits(self) -> bool:
        """Whether it waits for others, or goes at once."""
        return self.over > self.first


def arrival(now: float, pacing: Pacing, changed: float, took: float, *, urgent: bool) -> Burst:
    """A change that came now, after one at `changed`, and if the last compilation `took` so long."""
    alone = now - changed >= pacing.quiet and took <= pacing.small
    return Burst(now, now if alone else now + pacing.settle, urgent)


def merge(one: Burst | None, other: Burst) -> Burst:
    """The changes of both."""
    if one is None or (one.idle and not other.idle):
        return other
    if other.idle:
        return one
    return Burst(min(one.first, other.first), max(one.over, other.over), one.urgent or other.urgent)


def due(burst: Burst, pacing: Pacing, rested: float) -> float:
    """When to compile a burst, if there has been rest enough since the last compilation at `rested`."""
    if burst.urgent:
        return burst.first
    return max(burst.over if burst.idle else min(burst.over, burst.first + pacing.patience), rested)
