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
    """Changes that have not been compiled: when the first came, and from when on they count as all.

    `urgent`: a new pod of this node is among them, which is closed until it is compiled.
    """

    first: float
    over: float
    urgent: bool = False


def merge(one: Burst | None, other: Burst) -> Burst:
    """The changes of both."""
    if one is None:
        return other
    return Burst(min(one.first, other.first), max(one.over, other.over), one.urgent or other.urgent)


def due(burst: Burst, pacing: Pacing, rested: float) -> float:
    """When to compile a burst, if there has been rest enough since the last compilation at `rested`."""
    soon = min(burst.over, burst.first + pacing.patience)
    return soon if burst.urgent else max(soon, rested)
