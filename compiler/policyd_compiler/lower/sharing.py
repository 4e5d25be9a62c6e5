"""Large groups of hosts that many chains name: each stands in one set, not in part of every chain's own.

Pure algebra on masks: what is asked becomes more by a few look-ups, what the kernel holds becomes much less.
"""

from __future__ import annotations

from dataclasses import dataclass

#: So many shared sets at most are asked by one chain: each costs a new connection about 1 %.
MOST_SHARED = 3


@dataclass(frozen=True, slots=True)
class Shared:
    """Classes of hosts in two parts. `own` are disjoint and asked first, in any order; then `groups` in turn.

    Each is a mask of ports and one of hosts. A group may hold hosts of classes that are asked before it:
    those never come so far.
    """

    own: tuple[tuple[int, int], ...]
    groups: tuple[tuple[int, int], ...]


def share(classes: tuple[tuple[int, int], ...], groups: tuple[int, ...]) -> Shared:
    """Take groups, of which the first are the most welcome, out of disjoint classes of hosts."""
    own: list[tuple[int, int]] = []
    shared: list[tuple[int, int]] = []
    decided = 0
    # Small classes first: they are often a part of what a large one names.
    for ports, mask in sorted(classes, key=lambda item: (item[1].bit_count(), item[1])):
        rest = mask
        elsewhere = ~(mask | decided)
        for group in groups:
            if len(shared) == MOST_SHARED:
                break
            # At least half of it is new here, or the look-up is not worth it.
            if not group & elsewhere and 2 * (group & rest).bit_count() >= group.bit_count() > 0:
                shared.append((ports, group))
                rest &= ~group
        if rest:
            own.append((ports, rest))
        decided |= mask
    return Shared(tuple(own), tuple(shared))
