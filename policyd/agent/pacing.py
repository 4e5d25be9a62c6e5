"""When to compile after a change: soon, not for each event of a burst, and never without a rest. Pure.

Times are seconds of one monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pacing:
    """`settle`: how long a burst may be quiet before it counts as over. `patience`: the longest that a change
    waits for its burst to end. `rest`: the least time between two compilations, unless a new pod waits; it is
    stretched to the length of the last one, so that at most half of the time goes into compiling.
    """

    settle: float = 0.005
    patience: float = 0.05
    rest: float = 0.02


@dataclass(frozen=True, slots=True)
class Burst:
    """Changes that have not been compiled: when the first and the last came."""

    first: float
    last: float
    urgent: bool = False


def merge(one: Burst | None, other: Burst) -> Burst:
    """The changes of both."""
    if one is None:
        return other
    return Burst(min(one.first, other.first), max(one.last, other.last), one.urgent or other.urgent)


def due(burst: Burst, pacing: Pacing, ended: float, took: float) -> float:
    """When to compile a burst, if the last compilation `ended` then and `took` so long."""
    soon = min(burst.last + pacing.settle, burst.first + pacing.patience)
    if burst.urgent:
        return soon
    return max(soon, ended + max(pacing.rest, took))
