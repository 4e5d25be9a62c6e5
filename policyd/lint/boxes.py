"""What rules of one namespace and direction mean, as boxes: for whom, with whom, on which ports.

A side of a box is a mask over what selectors, blocks and ports of these rules tell apart: of a label the
values that are named, any other, and none. A box without a side is not bounded there. Whatever labels pods
may have is in it, so what is found of boxes holds for pods that nobody has seen.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, TypeAlias

from policyd.kube.objects import NAME_LABEL, IPBlock, LabelSelector, PolicyPort, PolicyRule, Requirement
from policyd_compiler.addr import prefix_interval

#: What is left of a side: a label's is `("pod", "app")`, `("namespace", "team")` or `("subject", "app")`, and
#: there are those of addresses of a family, and of ports.
Side: TypeAlias = tuple[str, str]
Box: TypeAlias = dict[Side, int]
#: Peers by label, and addresses of each family: a block says nothing of labels, nor they of addresses.
Kind: TypeAlias = int
_PODS: Kind = 0
_KINDS: tuple[Kind, ...] = (_PODS, 4, 6)
_ABSENT, _OTHER = 1, 2
PORTS: Side = ("", "ports")
_ADDRESSES: Mapping[int, Side] = {4: ("", "IPv4"), 6: ("", "IPv6")}
_OF_ADDRESSES: Mapping[Side, int] = {side: family for family, side in _ADDRESSES.items()}
_PROTOCOLS = ("TCP", "UDP", "SCTP")
#: Boxes that are looked at for one rule; with more it counts as not covered, unless another one is the same.
MOST_STEPS = 4_000


class _TooLong(Exception):
    """More boxes would have to be looked at than is worth it."""


class Meant(NamedTuple):
    """A rule, and whose it is."""

    namespace: str
    subject: LabelSelector
    rule: PolicyRule


#: A named port of a protocol: whatever number a pod gives it.
_Name: TypeAlias = tuple[str, str]


@dataclass
class Boxes:
    """The boxes of some rules, by their numbers."""

    rules: Sequence[Meant]
    _steps: int = 0
    _own: dict[int, tuple[tuple[Kind, _Name | None, Box, Box], ...]] = field(default_factory=dict)
    _known: dict[tuple[int, Kind, _Name | None], tuple[Box, ...]] = field(default_factory=dict)

    def is_covered(self, number: int, others: Sequence[int]) -> bool:
        """Whether other rules allow all that a rule does. What was not understood says nothing."""
        if not _is_understood(self.rules[number].rule):
            return False
        if any(self._is_same(number, other) for other in others):
            return True
        self._steps = 0
        with suppress(_TooLong):
            alone = any(self._used(number, (other,)) is not None for other in others)
            return alone or self._used(number, others) is not None
        return False

    def _is_same(self, one: int, other: int) -> bool:
        """Whether two rules are written alike."""
        mine, theirs = self.rules[one], self.rules[other]
        return (mine.subject, mine.rule.peers, mine.rule.ports) == (
            theirs.subject,
            theirs.rule.peers,
            theirs.rule.ports,
        )

    def covering(self, number: int, others: Sequence[int]) -> tuple[int, ...]:
        """Rules that do, as few as are found: one if there is one, else none of which can be left out."""
        for other in others:
            if self.is_covered(number, (other,)):
                return (other,)
        self._steps = 0
        left: list[int] = []
        with suppress(_TooLong):
            left = sorted(self._used(number, others) or ())
        for other in tuple(left):
            without = [each for each in left if each != other]
            if self.is_covered(number, without):
                left = without
        return tuple(left)

    def _used(self, number: int, others: Sequence[int]) -> set[int] | None:
        """The rules whose boxes fill those of one; None if they do not. Raises _TooLong."""
        used: set[int] = set()
        for kind, name, box, point in self._narrow(number):
            wide = [(other, each) for other in others for each in self._wide(other, kind, name)]
            found = self._fill(box, point, wide)
            if found is None:
                return None
            used |= found
        return used or None

    def _fill(self, box: Box, point: Box, wide: list[tuple[int, Box]]) -> set[int] | None:
        """The rules whose boxes fill one; None if they do not. Raises _TooLong."""
        if not any(self._holds(each, point) for _, each in wide):
            return None
        pieces, used = [box], set[int]()
        for other, hole in wide:
            left: list[Box] = []
            for piece in pieces:
                rest = self._without(piece, hole)
                if rest is None:
                    left.append(piece)
                else:
                    used.add(other)
                    left.extend(rest)
            pieces = left
            if not pieces:
                return used
        return None

    def _holds(self, wide: Box, point: Box) -> bool:
        """Whether a box holds a point; on a side where that is not bounded, some value that nobody names."""
        self._step()
        for side, mask in wide.items():
            at = point.get(side)
            if at is None:
                at = _OTHER if side[0] else 1
            if not mask & at:
                return False
        return True

    def _step(self) -> None:
        self._steps += 1
        if self._steps > MOST_STEPS:
            raise _TooLong

    def _without(self, box: Box, hole: Box) -> list[Box] | None:
        """What of a box is not in another one; None if that is all of it."""
        self._step()
        left: list[Box] = []
        for side, mask in hole.items():
            mine = box.get(side)
            mine = self._full(side) if mine is None else mine
            if not mine & mask:
                return None
            if rest := mine & ~mask:
                left.append({**box, side: rest})
                box = {**box, side: mine & mask}
        return left

    # --- what is distinguished ------------------------------------------------------------------------------

    @cached_property
    def _values(self) -> dict[tuple[str, str], dict[str, int]]:
        """Of each label, the bit of each value that is named."""
        found: dict[tuple[str, str], dict[str, int]] = {}
        for meant in self.rules:
            for what, selector in _selectors(meant):
                for requirement in selector.requirements:
                    values = found.setdefault((what, requirement.key), {})
                    for value in requirement.values:
                        values.setdefault(value, 4 << len(values))
        return found

    @cached_property
    def _cuts(self) -> dict[object, list[int]]:
        """Of addresses by family, and of ports, where something begins."""
        found: dict[object, set[int]] = {4: {0}, 6: {0}, "ports": {0, 1}}
        for meant in self.rules:
            for port in meant.rule.ports or ():
                if isinstance(port.port, int):
                    found["ports"].update((port.port, (port.end_port or port.port) + 1))
            for peer in meant.rule.peers or ():
                if isinstance(peer, IPBlock) and peer.cidr is not None:
                    for cidr in (peer.cidr, *peer.excepts):
                        low, behind = _stretch(cidr.network, cidr.prefix, cidr.family)
                        found[cidr.family].update((low, behind))
        ends = {4: 1 << 32, 6: 1 << 128, "ports": 1 << 16}
        return {what: sorted(cut for cut in cuts if cut < ends[what]) for what, cuts in found.items()}

    def _full(self, side: Side) -> int:
        if side == PORTS:
            return (1 << len(_PROTOCOLS) * len(self._cuts["ports"]) + 1) - 1
        if side in _OF_ADDRESSES:
            return (1 << len(self._cuts[_OF_ADDRESSES[side]])) - 1
        known = (4 << len(self._values[side])) - 1
        # A server gives every namespace this label.
        return known & ~_ABSENT if side == ("namespace", NAME_LABEL) else known

    # --- boxes -------------------------------------------------------------------------------------------

    def _names(self, rule: PolicyRule) -> Iterator[_Name | None]:
        """Each named port of a rule, and None for all that is not named."""
        ports = rule.ports
        if ports is None or any(not isinstance(port.port, str) for port in ports):
            yield None
        for port in dict.fromkeys(ports or ()):
            if isinstance(port.port, str):
                yield port.protocol, port.port

    def _narrow(self, number: int) -> tuple[tuple[Kind, _Name | None, Box, Box], ...]:
        """The boxes of a rule, for each named port its own, and a point of each."""
        found = self._own.get(number)
        if found is None:
            found = self._own[number] = tuple(
                (kind, name, box, {side: mask & -mask for side, mask in box.items()})
                for kind in _KINDS
                for name in self._names(self.rules[number].rule)
                for box in self._with_peers(number, kind, self._ports_of(number, name))
            )
        return found

    def _ports_of(self, number: int, name: _Name | None) -> int | None:
        """The ports of a rule that have no name; or all that one of this name may be."""
        ports = self.rules[number].rule.ports
        if name is not None:
            return self._range(name[0], 1, 1 << 16)
        return None if ports is None else self._ports(ports, None)

    def _wide(self, number: int, kind: Kind, name: _Name | None) -> tuple[Box, ...]:
        """The boxes of a rule, where a port of this name is meant by whoever names it, too."""
        key = number, kind, name
        found = self._known.get(key)
        if found is None:
            ports = self.rules[number].rule.ports
            mask = None if ports is None else self._ports(ports, name)
            found = self._known[key] = tuple(self._with_peers(number, kind, mask)) if mask != 0 else ()
        return found

    def _with_peers(self, number: int, kind: Kind, ports: int | None) -> Iterator[Box]:
        meant = self.rules[number]
        base: Box = {} if ports is None else {PORTS: ports}
        if not self._bound(base, "subject", meant.subject):
            return
        if meant.rule.peers is None:
            yield base
        elif kind == _PODS:
            own = LabelSelector((Requirement(NAME_LABEL, "In", (meant.namespace,)),))
            for peer in dict.fromkeys(meant.rule.peers):
                box = dict(base)
                if (
                    not isinstance(peer, IPBlock)
                    and self._bound(box, "pod", peer.pods)
                    and self._bound(box, "namespace", own if peer.namespaces is None else peer.namespaces)
                ):
                    yield box
        elif addresses := self._addresses(meant.rule.peers, kind):
            yield {**base, _ADDRESSES[kind]: addresses}

    def _bound(self, box: Box, what: str, selector: LabelSelector) -> bool:
        """Bound a box by a selector; False if nothing is left."""
        for requirement in selector.requirements:
            side = (what, requirement.key)
            values = self._values[side]
            full = self._full(side)
            named = sum(values[value] for value in set(requirement.values))
            mask = {
                "In": named,
                "NotIn": full & ~named,
                "Exists": full & ~_ABSENT,
                "DoesNotExist": full & _ABSENT,
            }[requirement.operator]
            box[side] = box.get(side, full) & mask
            if not box[side]:
                return False
        return True

    def _addresses(self, peers: Iterable[object], family: int) -> int:
        found = 0
        for peer in peers:
            if isinstance(peer, IPBlock) and peer.cidr is not None and peer.cidr.family == family:
                mask = self._mask(family, *_stretch(peer.cidr.network, peer.cidr.prefix, family))
                for cidr in peer.excepts:
                    if cidr.family == family:
                        mask &= ~self._mask(family, *_stretch(cidr.network, cidr.prefix, family))
                found |= mask
        return found

    def _ports(self, ports: Iterable[PolicyPort], name: _Name | None) -> int:
        found = 0
        for port in ports:
            if port.port is None or (port.protocol, port.port) == name:
                found |= self._range(port.protocol, 0, 1 << 16)
            elif isinstance(port.port, int):
                found |= self._range(port.protocol, port.port, (port.end_port or port.port) + 1)
        return found

    def _range(self, protocol: str, low: int, behind: int) -> int:
        return self._mask("ports", low, behind) << _PROTOCOLS.index(protocol) * len(self._cuts["ports"])

    def _mask(self, what: object, low: int, behind: int) -> int:
        cuts = self._cuts[what]
        return (1 << bisect_left(cuts, behind)) - (1 << bisect_left(cuts, low))


def _is_understood(rule: PolicyRule) -> bool:
    """Whether every peer and port of a rule says something."""
    if rule.peers == () or rule.ports == ():
        return False
    return not any(isinstance(peer, IPBlock) and peer.cidr is None for peer in rule.peers or ())


def _selectors(meant: Meant) -> Iterator[tuple[str, LabelSelector]]:
    yield "subject", meant.subject
    yield "namespace", LabelSelector((Requirement(NAME_LABEL, "In", (meant.namespace,)),))
    for peer in meant.rule.peers or ():
        if not isinstance(peer, IPBlock):
            yield "pod", peer.pods
            if peer.namespaces is not None:
                yield "namespace", peer.namespaces


def _stretch(network: int, prefix: int, family: int) -> tuple[int, int]:
    """Where a prefix begins, and what is behind it."""
    low, high = prefix_interval(4 if family == 4 else 6, network, prefix)
    return low, high + 1
