"""Isolation → address classes: for every possible peer address, the ports that are allowed.

Tiers, policies and rules end here. Each address meets exactly one class, so a packet needs one look-up of
its peer and one of its port, however many rules there were.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from policyd_compiler.addr import Interval, Ranges
from policyd_compiler.ir import Host
from policyd_compiler.lower.decide import Decider, Watch
from policyd_compiler.lower.port_masks import spread

#: Rules that match so few hosts are noted at each; all others divide what is there.
FEW_HOSTS = 4
#: So few bits of a long mask are found one by one faster than by reading it.
FEW_RULES = 8
#: Of more hosts that changed it is faster to sort all.
MOST_INSERTED = 512
_SET_BYTE = re.compile(rb"[^\0]")
#: More steps than anybody takes.
NO_LIMIT = 1 << 62


@dataclass(frozen=True, slots=True)
class Classes:
    """The allowed ports of one family: by host (disjoint masks), else by range, else `default`.

    Ports are masks of the decider that was asked. `plain` are the hosts that rules name, but for whom ranges
    or the default say the same; `hosts` are the others. `steps`: in how many the hosts were divided.
    """

    hosts: tuple[tuple[int, int], ...]
    ranges: tuple[tuple[Interval, int], ...]
    default: int
    plain: tuple[tuple[int, int], ...] = ()
    steps: int = 0

    def of_unnamed(self, address: int) -> int:
        """The ports of the range that an address is in, or those of all."""
        place = bisect_right(self.ranges, address, key=lambda item: item[0][0]) - 1
        if place >= 0 and address <= self.ranges[place][0][1]:
            return self.ranges[place][1]
        return self.default

    @property
    def named(self) -> int:
        """The hosts that rules name."""
        named = 0
        for _, hosts in (*self.hosts, *self.plain):
            named |= hosts
        return named


class HostIndex:
    """The hosts of one family by address, to turn address ranges into masks.

    `addresses` are by bit. Bits may get others one by one; what was asked is then worked out again.
    """

    def __init__(self, hosts: Sequence[Host], family: int) -> None:
        self.addresses = [host.address(family) for host in hosts]
        self._changed: dict[int, int | None] = {}  # by bit, the address that is among the sorted ones
        self._masks: dict[Ranges, int] = {}
        self._sort()

    def put(self, bit: int, address: int | None) -> None:
        """A bit stands for another address, or for none."""
        self.addresses.extend([None] * (bit + 1 - len(self.addresses)))
        self._changed.setdefault(bit, self.addresses[bit])
        self.addresses[bit] = address
        self._masks.clear()

    def mask(self, ranges: Ranges) -> int:
        """The hosts whose address is in any of the ranges."""
        known = self._masks.get(ranges)
        if known is not None:
            return known
        self._catch_up()
        out = bytearray(len(self.addresses) // 8 + 1)
        for low, high in ranges:
            for bit in self._bits[bisect_left(self._sorted, low) : bisect_right(self._sorted, high)]:
                out[bit >> 3] |= 1 << (bit & 7)
        mask = self._masks[ranges] = int.from_bytes(out, "little")
        return mask

    def _sort(self) -> None:
        ordered = sorted((a, bit) for bit, a in enumerate(self.addresses) if a is not None)
        self._sorted = [address for address, _ in ordered]
        self._bits = [bit for _, bit in ordered]

    def _catch_up(self) -> None:
        changed, self._changed = self._changed, {}
        if len(changed) > MOST_INSERTED:
            self._sort()
            return
        for bit, address in changed.items():
            if address is not None:
                at = self._bits.index(bit, bisect_left(self._sorted, address))
                del self._sorted[at], self._bits[at]
        for bit in changed:
            if (new := self.addresses[bit]) is not None:
                at = bisect_left(self._sorted, new)
                self._sorted.insert(at, new)
                self._bits.insert(at, bit)


class TooMany(Exception):
    """There are more parts to tell apart than the caller allows."""


def classify(decider: Decider, index: HostIndex, family: int, most: int = NO_LIMIT) -> Classes:
    """The classes of one isolation in one family.

    Raises TooMany when hosts would be divided in more than `most` steps.
    """
    always = rules_for_all(decider)
    hosts, steps = _host_classes(decider, always, index, family, most)
    unnamed = classify_unnamed(decider, family)
    telling, plain = _apart_from_plain(hosts, unnamed.ranges, unnamed.default, index)
    return replace(unnamed, hosts=telling, plain=plain, steps=steps)


def rules_for_all(decider: Decider) -> list[int]:
    """The numbers of the rules that match any peer."""
    return [number for number, rule in enumerate(decider.rules) if rule.peers.anything]


def classify_unnamed(decider: Decider, family: int) -> Classes:
    """The classes of those that no rule names as a host."""
    always = rules_for_all(decider)
    default = decider.decide(always)
    ranges = _range_classes(decider, always, family)
    return Classes((), tuple((interval, mask) for interval, mask in ranges if mask != default), default)


def _host_classes(
    decider: Decider, always: list[int], index: HostIndex, family: int, most: int
) -> tuple[list[tuple[int, int]], int]:
    """Partition the hosts that any rule names: port masks and their hosts, and in how many steps."""
    named = 0
    for rule in decider.rules:
        named |= rule.peers.hosts
    everywhere = sum(1 << number for number in always)
    parts: list[tuple[int, int]] = [(named, everywhere)] if named else []
    # Rules for a host or two: each would be tried on each part, so it is noted at its hosts instead.
    noted: dict[tuple[int, int], int] = {}
    steps = 0
    for number, rule in enumerate(decider.rules):
        if rule.peers.anything:
            continue
        mask = rule.peers.hosts | index.mask(rule.peers.ranges(family))
        if mask.bit_count() <= FEW_HOSTS:
            for host in _bits(mask & named):
                key = spread(host)
                noted[key] = noted.get(key, 0) | 1 << number
        else:
            parts = _split(parts, mask, 1 << number)
            steps += len(parts)
            if steps > most:
                raise TooMany
    classes: dict[tuple[int, int], int] = {}
    for part, matching in _apart(parts, noted):
        key = spread(decider.decide(_numbers(matching)))
        classes[key] = classes.get(key, 0) | part
    return [(ports, part) for (_, ports), part in classes.items()], steps


def _split(parts: list[tuple[int, int]], mask: int, rule: int) -> list[tuple[int, int]]:
    """The parts with a rule more, which matches the hosts of `mask`."""
    out: list[tuple[int, int]] = []
    for part, matching in parts:
        inside = part & mask
        if inside:
            out.append((inside, matching | rule))
        if inside != part:
            out.append((part & ~mask, matching))
    return out


def _apart(parts: list[tuple[int, int]], noted: dict[tuple[int, int], int]) -> Iterator[tuple[int, int]]:
    """The parts, without the hosts that match more rules than noted for their part; and each of these."""
    alone = 0
    for _, host in noted:
        alone |= host
    for part, matching in parts:
        if part & ~alone:
            yield part & ~alone, matching
        for host in _bits(part & alone):
            yield host, matching | noted[spread(host)]


def _bits(mask: int) -> Iterator[int]:
    """The bits of a mask, each as a mask."""
    while mask:
        lowest = mask & -mask
        yield lowest
        mask ^= lowest


def few_bits(mask: int) -> Iterator[int]:
    """The positions of the bits of a mask, ascending; made for long masks with few bits."""
    raw = mask.to_bytes(mask.bit_length() // 8 + 1, "little")
    for found in _SET_BYTE.finditer(raw):
        start = 8 * found.start()
        yield from (start + bit for bit in range(8) if raw[found.start()] >> bit & 1)


def _numbers(mask: int) -> list[int]:
    """The positions of the bits of a mask, ascending."""
    if mask.bit_count() <= FEW_RULES:  # mostly one of thousands
        return [bit.bit_length() - 1 for bit in _bits(mask)]
    return [number for number, digit in enumerate(bin(mask)[:1:-1]) if digit == "1"]


def _range_classes(decider: Decider, always: list[int], family: int) -> list[tuple[Interval, int]]:
    """Partition the address ranges that any rule names, by port mask: sweep over their bounds."""
    flips: dict[int, list[int]] = {}
    for number, rule in enumerate(decider.rules):
        for low, high in rule.peers.ranges(family):
            flips.setdefault(low, []).append(number)
            flips.setdefault(high + 1, []).append(number)
    watch = Watch(decider, always)
    out: list[tuple[Interval, int]] = []
    start, matching = 0, set[int]()
    for point in sorted(flips):
        if matching:
            ports = watch.decide()
            if out and out[-1][0][1] == start - 1 and out[-1][1] == ports:
                out[-1] = ((out[-1][0][0], point - 1), ports)
            else:
                out.append(((start, point - 1), ports))
        for number in flips[point]:
            watch.flip(number)
        matching.symmetric_difference_update(flips[point])
        start = point
    return out


def _apart_from_plain(
    hosts: list[tuple[int, int]], ranges: tuple[tuple[Interval, int], ...], default: int, index: HostIndex
) -> tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]:
    """The classes without the hosts that the ranges or the default would treat alike; and these."""
    by_ports: dict[tuple[int, int], list[Interval]] = {}
    for interval, ports in ranges:
        by_ports.setdefault(spread(ports), []).append(interval)
    covered = {ports: index.mask(tuple(intervals)) for ports, intervals in by_ports.items()}
    elsewhere = 0
    for mask in covered.values():
        elsewhere |= mask
    telling: list[tuple[int, int]] = []
    plain: list[tuple[int, int]] = []
    for ports, mask in hosts:
        redundant = mask & ~elsewhere if ports == default else mask & covered.get(spread(ports), 0)
        if mask != redundant:
            telling.append((ports, mask & ~redundant))
        if redundant:
            plain.append((ports, redundant))
    return tuple(telling), tuple(plain)
