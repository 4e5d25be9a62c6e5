"""What one direction of an endpoint lets through, to or from each host, with three values. Pure.

As `policyd_compiler.lower.classes`, but with rules of which nobody knows whether they match: a rule for some
addresses, and a host of which the address is not known; a selector of namespaces, and a namespace that is
not known. What such rules leave open is worked out for all tiers (`decide`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from policyd.ask.judged import OPEN, UNDECIDED, Judged
from policyd.cluster.everywhere import Governed
from policyd.cluster.index import mask_of
from policyd.cluster.ownership import Claims
from policyd.kube.objects import IPBlock
from policyd_compiler.addr import Family
from policyd_compiler.ir import Action, Isolation, Rule, Stage, Tier
from policyd_compiler.lower.classes import HostIndex
from policyd_compiler.lower.decide import ports_of
from policyd_compiler.lower.port_masks import PortMasks

FAMILIES: tuple[Family, Family] = (4, 6)
#: Rules that match so few hosts are noted at each; all others divide what is there.
_FEW = 4


@dataclass(frozen=True, eq=False)
class Gate:
    """One direction of the hosts that share it: `certain` has what selectors select for sure, `possible` what
    they may select. Both have the same rules in the same order. `doubt`: not even who is selected is known.
    """

    certain: Isolation
    possible: Isolation
    doubt: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """Hosts, and what is allowed to or from them by IPv4 and by IPv6."""

    hosts: int
    four: Judged
    six: Judged


#: A rule that matches, by its stage, and whether it surely does.
_Match: TypeAlias = tuple[int, Action, int, bool]


class Gates:
    """The gates of all hosts. `egress` and `ingress` are by host; None is open to everybody."""

    def __init__(self, claims: Claims, certain: Governed, possible: Governed) -> None:
        self._size = len(claims.hosts)
        self._everybody = (1 << self._size) - 1
        self._claims = claims
        self._indexes = {family: HostIndex(claims.hosts, family) for family in FAMILIES}
        self._possible = possible
        self.without_address = mask_of(
            (bit for bit, host in enumerate(claims.hosts) if host.v4 is None and host.v6 is None), self._size
        )
        self._known: dict[tuple[int, int], Gate] = {}
        self._rows: dict[Gate, tuple[Row, ...]] = {}
        self._exposing: dict[tuple[str, str, int], int] = {}
        self.egress = tuple(map(self._gate, certain.egress, possible.egress))
        self.ingress = tuple(map(self._gate, certain.ingress, possible.ingress))

    def _gate(self, certain: Isolation | None, possible: Isolation | None) -> Gate | None:
        if certain is None and possible is None:
            return None
        key = id(certain), id(possible)
        if key not in self._known:
            if certain is None or possible is None or not _same_rules(certain, possible):
                # Whether a ClusterNetworkPolicy selects a pod of a namespace that is not known.
                either = possible or certain
                assert either is not None  # noqa: S101 for mypy
                self._known[key] = self._known.setdefault((id(either), 0), Gate(either, either, doubt=True))
            else:
                self._known[key] = Gate(certain, possible)
        return self._known[key]

    def rows(self, gate: Gate | None) -> tuple[Row, ...]:
        """Every host in one row, with what the gate lets through. Rows without hosts are left out."""
        if gate is None:
            return (Row(self._everybody, OPEN, OPEN),)
        if gate.doubt:
            return (Row(self._everybody, UNDECIDED, UNDECIDED),)
        known = self._rows.get(gate)
        if known is None:
            known = self._rows[gate] = tuple(self._make(gate))
        return known

    def paired(self, gate: Gate) -> Iterator[tuple[Tier, Rule, Rule]]:
        """The rules of a gate, by their tier, as they surely match and as they may."""
        for number, certain, possible in _paired(gate):
            yield gate.certain.stages[number].tier, certain, possible

    def judge(self, gate: Gate | None, host: int, family: int) -> Judged:
        """What the gate lets through to or from one host."""
        row = next(row for row in self.rows(gate) if row.hosts >> host & 1)
        return row.four if family == 4 else row.six

    def _make(self, gate: Gate) -> Iterator[Row]:
        four = self._divide(gate, 4)
        if not any(rule.peers.v4 or rule.peers.v6 for rule in _rules(gate.possible)) and not self._blocks(
            gate
        ):
            yield from (Row(hosts, judged, judged) for hosts, judged in four)
            return
        for hosts, judged in four:
            for others, other in self._divide(gate, 6):
                if hosts & others:
                    yield Row(hosts & others, judged, other)

    def _blocks(self, gate: Gate) -> bool:
        return any(True for rule in _rules(gate.possible) for _ in self._blocks_of(rule))

    def _blocks_of(self, rule: Rule) -> Iterator[IPBlock]:
        """The blocks of which a rule was made."""
        return (block for block in self._possible.blocks_of(rule) if block.cidr is not None)

    def _divide(self, gate: Gate, family: Family) -> list[tuple[int, Judged]]:
        """All hosts by what is allowed in one family."""
        masks = PortMasks(ports_of(gate.certain) | ports_of(gate.possible))
        matches: list[tuple[_Match, _Match]] = []
        parts: list[tuple[int, int]] = [(self._everybody, 0)] if self._everybody else []
        noted: dict[int, int] = {}
        for number, (stage, certain, possible) in enumerate(_paired(gate)):
            ports = masks.mask(certain.ports)
            matches.append(((stage, certain.action, ports, True), (stage, certain.action, ports, False)))
            surely, maybe = self.matched(certain, possible, family)
            for hosts, bit in ((surely, 1 << 2 * number), (maybe & ~surely, 2 << 2 * number)):
                if hosts.bit_count() <= _FEW:
                    for host in _bits(hosts):
                        noted[host] = noted.get(host, 0) | bit
                else:
                    parts = list(_split(parts, hosts, bit))
        found: dict[Judged, int] = {}
        for hosts, matching in _apart(parts, noted):
            chosen = [matches[at >> 1][at & 1] for at in _numbers(matching)]
            allowed, possible_ports = decide(gate.certain.stages, chosen, masks.everything)
            judged = Judged(masks.ports(allowed), masks.ports(possible_ports))
            found[judged] = found.get(judged, 0) | hosts
        return [(hosts, judged) for judged, hosts in found.items()]

    def matched(self, certain: Rule, possible: Rule, family: Family) -> tuple[int, int]:
        """The hosts that a rule surely matches, and those that it may match."""
        if certain.peers.anything:
            return self._everybody, 0
        index = self._indexes[family]
        surely = certain.peers.hosts | index.mask(certain.peers.ranges(family))
        maybe = possible.peers.hosts
        for block in self._blocks_of(possible):
            if block.cidr is not None and block.cidr.family == family:
                whom = self.without_address & self._exposed(possible)
                if block.cidr.prefix == 0 and not block.excepts:
                    surely |= whom
                maybe |= whom
        return surely, maybe

    def _exposed(self, rule: Rule) -> int:
        """The hosts that a rule for a named port of its peers is about; all for any other rule."""
        port = self._possible.exposed(rule)
        if port is None:
            return self._everybody
        key = (port.name, port.protocol, port.number)
        if key not in self._exposing:
            bits = (bit for bit, pod in enumerate(self._claims.pods) if port in pod.ports)
            self._exposing[key] = self._claims.held(mask_of(bits, len(self._claims.pods)))
        return self._exposing[key]


def decide(stages: Sequence[Stage], matching: Iterable[_Match], everything: int) -> tuple[int, int]:
    """The ports that are open whichever of the doubtful rules match, and those that are for some of them.

    Each doubtful rule may match or not, whatever the others do. `matching` is in the order of the rules.
    """
    by_stage: list[list[_Match]] = [[] for _ in stages]
    for match in matching:
        by_stage[match[0]].append(match)
    arriving, opened, closed, claimant = everything, 0, 0, 0
    for stage, matches in zip(stages, by_stage, strict=True):
        if stage.claimant != claimant:  # what one may have goes on to the next (NP-166)
            arriving, opened, claimant = opened | arriving, 0, stage.claimant
        undecided, passed = arriving, 0
        for _, action, ports, sure in matches:
            hit = undecided & ports
            if action is Action.ACCEPT:
                opened |= hit
            elif action is Action.DENY:
                closed |= hit
            else:
                passed |= hit
            if sure:
                undecided &= ~ports
        if stage.otherwise is Action.DENY:
            closed |= undecided
            arriving = passed
        else:
            arriving = passed | undecided
    return everything & ~closed, opened | arriving


def _rules(isolation: Isolation) -> Iterator[Rule]:
    for stage in isolation.stages:
        yield from stage.rules


def _same_rules(certain: Isolation, possible: Isolation) -> bool:
    """Whether both have the same rules in the same order, for each claimant of the address (NP-166)."""
    if certain is possible:
        return True
    shapes = [
        [(stage.tier, stage.claimant, [rule.origins for rule in stage.rules]) for stage in each.stages]
        for each in (certain, possible)
    ]
    return certain.policies == possible.policies and shapes[0] == shapes[1]


def _paired(gate: Gate) -> Iterator[tuple[int, Rule, Rule]]:
    """The rules of a gate, by the number of their stage, as they surely match and as they may."""
    for number, (certain, possible) in enumerate(zip(gate.certain.stages, gate.possible.stages, strict=True)):
        for rules in zip(certain.rules, possible.rules, strict=True):
            yield number, *rules


def _split(parts: Iterable[tuple[int, int]], hosts: int, bit: int) -> Iterator[tuple[int, int]]:
    for part, matching in parts:
        inside = part & hosts
        if inside:
            yield inside, matching | bit
        if inside != part:
            yield part & ~hosts, matching


def _apart(parts: Iterable[tuple[int, int]], noted: dict[int, int]) -> Iterator[tuple[int, int]]:
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


def _numbers(mask: int) -> list[int]:
    """The positions of the bits of a mask, ascending."""
    return [bit.bit_length() - 1 for bit in _bits(mask)]
