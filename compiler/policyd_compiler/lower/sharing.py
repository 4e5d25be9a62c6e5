"""Hosts that stand in groups, sets that many chains ask, and what is left for a set of a chain's own.

Pure algebra on masks: what is asked becomes more by a few look-ups, what the kernel holds becomes much less.
"""

from __future__ import annotations

from policyd_compiler.lower.classes import Classes
from policyd_compiler.lower.decide import Decider
from policyd_compiler.lower.port_masks import spread

#: Ports and hosts, both as masks.
Class = tuple[int, int]


def group_classes(decider: Decider) -> tuple[Class, ...]:
    """The groups of an isolation's layout, in their order, in the masks of its decider."""
    groups = decider.isolation.layout.groups
    return tuple((decider.masks.mask(group.ports), group.hosts) for group in groups)


def own_classes(classes: Classes, groups: tuple[Class, ...]) -> tuple[Class, ...]:
    """The classes of hosts that a chain must ask for before it asks the groups, in their order.

    They are disjoint. A host is among them if the first group that it is in opens other ports than its class
    does; or if it is in none, and ranges and the default would not open just these.
    """
    own: dict[Class, int] = {}
    free = ~0
    firsts: list[Class] = []
    for ports, hosts in groups:
        firsts.append((ports, hosts & free))
        free &= ~hosts
    for of, alone in ((classes.hosts, True), (classes.plain, False)):
        for ports, hosts in of:
            rest = hosts & free if alone else 0
            for opened, first in firsts:
                if opened != ports:
                    rest |= hosts & first
            if rest:
                key = spread(ports)
                own[key] = own.get(key, 0) | rest
    return tuple((ports, rest) for (_, ports), rest in own.items())
