"""Port sets as bit masks: what rules of an isolation tell apart is a bit, so their algebra is fast."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable

from policyd_compiler.addr import Ranges
from policyd_compiler.ports import EVERYTHING, NOTHING, PortSet

_RUN = re.compile("1+")
_END = 1 << 16
#: The largest below 2**30, by which Python divides fast.
_PRIME = 1_073_741_789


def spread(mask: int) -> tuple[int, int]:
    """A mask as a key of a dictionary: a number that tells masks apart, and the mask.

    Python's hash of an integer is taken modulo 2**61 - 1, so that it is the same for every 61st single bit.
    """
    return mask % _PRIME, mask


class PortMasks:
    """Masks for some port sets, and for whatever unions, intersections and differences make of them.

    The bits are the pieces into which the bounds of all sets divide the numbers of TCP, then UDP, then SCTP,
    in ascending order; the last bit is all other protocols.
    """

    def __init__(self, sets: Iterable[PortSet]) -> None:
        found: tuple[set[int], ...] = ({0, _END}, {0, _END}, {0, _END})
        for ports in sets:
            for numbers, ranges in zip(found, (ports.tcp, ports.udp, ports.sctp), strict=True):
                for low, high in ranges:
                    numbers.add(low)
                    numbers.add(high + 1)
        self._bounds = tuple(sorted(numbers) for numbers in found)
        starts = [0]
        for bounds in self._bounds:
            starts.append(starts[-1] + len(bounds) - 1)
        self._starts = starts
        #: All ports of all protocols.
        self.everything = (2 << starts[3]) - 1
        self._other = 1 << starts[3]
        self._sets = {spread(0): NOTHING, spread(self.everything): EVERYTHING}

    def mask(self, ports: PortSet) -> int:
        """The mask of one of the sets that were given at first."""
        mask = self._other if ports.other else 0
        for protocol, ranges in enumerate((ports.tcp, ports.udp, ports.sctp)):
            start, bounds = self._starts[protocol], self._bounds[protocol]
            for low, high in ranges:
                first, end = bisect_left(bounds, low), bisect_left(bounds, high + 1)
                mask |= ((1 << end - first) - 1) << start + first
        self._sets.setdefault(spread(mask), ports)
        return mask

    def ports(self, mask: int) -> PortSet:
        """The port set of a mask: for equal masks the same object."""
        key = spread(mask)
        known = self._sets.get(key)
        if known is None:
            known = self._sets[key] = PortSet(
                self._ranges(mask, 0), self._ranges(mask, 1), self._ranges(mask, 2), bool(mask & self._other)
            )
        return known

    def _ranges(self, mask: int, protocol: int) -> Ranges:
        start, end, bounds = self._starts[protocol], self._starts[protocol + 1], self._bounds[protocol]
        of_protocol = mask >> start & (1 << end - start) - 1
        if not of_protocol:
            return ()
        pieces = bin(of_protocol)[:1:-1]
        return tuple((bounds[run.start()], bounds[run.end()] - 1) for run in _RUN.finditer(pieces))
