"""Where a packet goes that may use the ports of a mask; and how large sets of ports share what they hold.

Where rules overlap, an isolation may have as many port sets as it has rules, each nearly as large as all of
them together. Written out that is a square. So a large set that differs little from one before is written as
a difference: some ports dropped, some let through, then on to the chain of the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from policyd_compiler.lower.classes import Classes
from policyd_compiler.lower.objects import Objects
from policyd_compiler.lower.port_masks import PortMasks, spread
from policyd_compiler.nft.ast import Verdict
from policyd_compiler.nft.keys import PortSide

#: Sets of fewer runs of ports are written out: that is short enough, and a packet asks once.
LARGE = 16


class PortVerdicts:
    """The verdicts for the port masks of one isolation in one family, for packets that ask or that answer."""

    def __init__(self, classes: Classes, masks: PortMasks, objects: Objects, side: PortSide) -> None:
        self._bases = choose_bases(classes)
        self.masks, self.side = masks, side
        self._objects = objects
        self._known: dict[tuple[int, int], Verdict] = {}

    def of(self, mask: int) -> Verdict:
        """On, away, or to a chain that looks at the port."""
        key = spread(mask)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._make(mask)
        return known

    def _make(self, mask: int) -> Verdict:
        base, ports = self._bases.get(spread(mask)), self.masks.ports
        if base is None:
            return self._objects.verdict(ports(mask), self.side)
        return self._objects.difference(self.of(base), ports(base & ~mask), ports(mask & ~base), self.side)


def choose_bases(classes: Classes) -> Mapping[tuple[int, int], int]:
    """For each mask (`spread`) that is written as a difference, of which: one that is written out itself.

    Masks are taken in the order of a sweep over addresses, where each is a small change of the one before.
    When the differences from one base are together as long as the base, there is a new one. So where each of
    n masks is a port more than the last, they are n**1.5 long, not n**2; and a packet asks one chain more.
    """
    found: dict[tuple[int, int], int] = {}
    base, length, spent = 0, 0, 0
    for mask in in_order(classes):
        runs = count_runs(mask)
        if runs < LARGE:
            continue
        apart = difference(mask, base) if length else runs
        if 2 * apart < runs and spent + apart <= length:
            found[spread(mask)] = base
            spent += apart
        else:
            base, length, spent = mask, runs, 0
    return found


def depends_on_order(classes: Classes) -> bool:
    """Whether it might make a difference for the chains of ports in which order hosts are numbered."""
    return sum(count_runs(mask) >= LARGE for mask in in_order(classes)) > 1


def in_order(classes: Classes) -> Iterable[int]:
    """Each mask of the classes once, in the order of addresses."""
    masks = [classes.default, *(mask for _, mask in classes.ranges), *(mask for mask, _ in classes.hosts)]
    return {spread(mask): mask for mask in masks}.values()


def count_runs(mask: int) -> int:
    """How many ranges of ports a mask is: as one where one protocol ends and the next begins."""
    return (mask & ~(mask << 1)).bit_count()


def difference(mask: int, base: int) -> int:
    """How many ranges of ports it takes to say how a mask differs from another."""
    return count_runs(mask & ~base) + count_runs(base & ~mask)
