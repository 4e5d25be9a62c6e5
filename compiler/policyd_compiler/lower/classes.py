"""Isolation → address classes: for every possible peer address, the ports that are allowed.

Tiers, policies and rules end here. Each address meets exactly one class, so a packet needs one look-up of
its peer and one of its port, however many rules there were.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from policyd_compiler.addr import Interval, Ranges
from policyd_compiler.ir import Action, Host, Isolation, Rule
from policyd_compiler.ports import EVERYTHING, NOTHING, PortSet

#: Rules that match so few hosts are noted at each; all others divide what is there.
FEW_HOSTS = 4


@dataclass(frozen=True, slots=True)
class Classes:
    """The allowed ports of one family: by host (disjoint masks), else by range, else `default`."""

    hosts: tuple[tuple[PortSet, int], ...]
    ranges: tuple[tuple[Interval, PortSet], ...]
    default: PortSet


class HostIndex:
    """The hosts of one family by address, to turn address ranges into masks; and groups of them, as masks."""

    def __init__(self, hosts: tuple[Host, ...], family: int, groups: tuple[int, ...] = ()) -> None:
        self.groups = groups
        self.addresses = tuple(host.address(family) for host in hosts)
        ordered = sorted((a, bit) for bit, a in enumerate(self.addresses) if a is not None)
        self._sorted = [address for address, _ in ordered]
        self._bits = [bit for _, bit in ordered]
        self._size = len(hosts)
        self._masks: dict[Ranges, int] = {}

    def mask(self, ranges: Ranges) -> int:
        """The hosts whose address is in any of the ranges."""
        known = self._masks.get(ranges)
        if known is not None:
            return known
        out = bytearray(self._size // 8 + 1)
        for low, high in ranges:
            for bit in self._bits[bisect_left(self._sorted, low) : bisect_right(self._sorted, high)]:
                out[bit >> 3] |= 1 << (bit & 7)
        mask = self._masks[ranges] = int.from_bytes(out, "little")
        return mask


def classify(isolation: Isolation, index: HostIndex, family: int) -> Classes:
    """The classes of one isolation in one family."""
    rules = [rule for stage in isolation.stages for rule in stage.rules]
    decide = _decider(isolation)
    always = sum(1 << i for i, rule in enumerate(rules) if rule.peers.anything)
    default = decide(always)
    ranges = _range_classes(rules, always, family, decide)
    hosts = _host_classes(rules, always, index, family, decide)
    kept = tuple((interval, ports) for interval, ports in ranges if ports != default)
    return Classes(_without_redundant(hosts, kept, default, index), kept, default)


def _decider(isolation: Isolation) -> Callable[[int], PortSet]:
    """A function from the set of matching rules (a mask) to the ports that are allowed in the end."""
    known: dict[int, PortSet] = {}

    def decide(matching: int) -> PortSet:
        ports = known.get(matching)
        if ports is None:
            ports = known[matching] = allowed_ports(isolation, matching)
        return ports

    return decide


def allowed_ports(isolation: Isolation, matching: int) -> PortSet:
    """Walk the tiers with the rules whose peer matches; bit i of `matching` is the i-th of all rules."""
    open_ports, allowed = EVERYTHING, NOTHING
    for stage in isolation.stages:
        passed = NOTHING
        for rule in _chosen(stage.rules, matching):
            hit = open_ports & rule.ports
            open_ports = open_ports - rule.ports
            match rule.action:
                case Action.ACCEPT:
                    allowed = allowed | hit
                case Action.PASS:
                    passed = passed | hit
                case Action.DENY:
                    pass
        matching >>= len(stage.rules)
        open_ports = passed if stage.otherwise is Action.DENY else open_ports | passed
    return allowed | open_ports


def _chosen(rules: Sequence[Rule], mask: int) -> Iterator[Rule]:
    """The rules whose bits are set, which are a few of maybe ten thousand."""
    for bit in _bits(mask & (1 << len(rules)) - 1):
        yield rules[bit.bit_length() - 1]


def _host_classes(
    rules: list[Rule], always: int, index: HostIndex, family: int, decide: Callable[[int], PortSet]
) -> dict[PortSet, int]:
    """Partition the hosts that any rule names, by the rules that match them."""
    named = 0
    for rule in rules:
        named |= rule.peers.hosts
    parts: list[tuple[int, int]] = [(named, always)] if named else []
    # Rules for a host or two: each would be tried on each part, so it is noted at its hosts instead.
    noted: dict[int, int] = {}
    for i, rule in enumerate(rules):
        if rule.peers.anything:
            continue
        mask = rule.peers.hosts | index.mask(rule.peers.ranges(family))
        if mask.bit_count() <= FEW_HOSTS:
            for host in _bits(mask & named):
                noted[host] = noted.get(host, 0) | 1 << i
        else:
            parts = _split(parts, mask, 1 << i)
    classes: dict[PortSet, int] = {}
    for part, matching in _apart(parts, noted):
        ports = decide(matching)
        classes[ports] = classes.get(ports, 0) | part
    return classes


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


def _apart(parts: list[tuple[int, int]], noted: dict[int, int]) -> Iterator[tuple[int, int]]:
    """The parts, without the hosts that match more rules than noted for their part; and each of these."""
    alone = 0
    for host in noted:
        alone |= host
    for part, matching in parts:
        if part & ~alone:
            yield part & ~alone, matching
        for host in _bits(part & alone):
            yield host, matching | noted[host]


def _bits(mask: int) -> Iterator[int]:
    """The bits of a mask, each as a mask."""
    while mask:
        lowest = mask & -mask
        yield lowest
        mask ^= lowest


def _range_classes(
    rules: list[Rule], always: int, family: int, decide: Callable[[int], PortSet]
) -> list[tuple[Interval, PortSet]]:
    """Partition the address ranges that any rule names: sweep over their bounds."""
    toggles: dict[int, int] = {}
    for i, rule in enumerate(rules):
        for low, high in rule.peers.ranges(family):
            toggles[low] = toggles.get(low, 0) ^ 1 << i
            toggles[high + 1] = toggles.get(high + 1, 0) ^ 1 << i
    out: list[tuple[Interval, PortSet]] = []
    matching, start = 0, 0
    for point in sorted(toggles):
        if matching:
            ports = decide(matching | always)
            if out and out[-1][0][1] == start - 1 and out[-1][1] == ports:
                out[-1] = ((out[-1][0][0], point - 1), ports)
            else:
                out.append(((start, point - 1), ports))
        matching ^= toggles[point]
        start = point
    return out


def _without_redundant(
    hosts: dict[PortSet, int],
    ranges: tuple[tuple[Interval, PortSet], ...],
    default: PortSet,
    index: HostIndex,
) -> tuple[tuple[PortSet, int], ...]:
    """Leave out hosts that the ranges or the default would treat alike."""
    by_ports: dict[PortSet, list[Interval]] = {}
    for interval, ports in ranges:
        by_ports.setdefault(ports, []).append(interval)
    covered = {ports: index.mask(tuple(intervals)) for ports, intervals in by_ports.items()}
    elsewhere = 0
    for mask in covered.values():
        elsewhere |= mask
    out: list[tuple[PortSet, int]] = []
    for ports, mask in hosts.items():
        redundant = mask & ~elsewhere if ports == default else mask & covered.get(ports, 0)
        if mask != redundant:
            out.append((ports, mask & ~redundant))
    return tuple(out)
